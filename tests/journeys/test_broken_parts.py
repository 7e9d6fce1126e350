"""Parts break while mail is on its way; nothing is lost."""

import signal
import smtplib

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.slow]


def test_mail_flows_with_the_broker_stopped(service):
    service.tenant("jana", "jana.example", ("hi@jana.example", "jana@away.example"))
    service.kill("valkey-server", signal.SIGSTOP)
    try:
        for number in range(20):
            service.send("hi@jana.example", subject=f"no-broker-{number:02d}-")

        service.wait_caught("no-broker-", count=20, patience=20)
    finally:
        service.kill("valkey-server", signal.SIGCONT)
    assert len(service.caught_with("no-broker-")) == 20


def test_a_worker_killed_in_the_middle_loses_nothing(service):
    service.tenant("kara", "kara.example", ("hi@kara.example", "kara@away.example"))
    for number in range(100):
        service.send("hi@kara.example", subject=f"killed-worker-{number:03d}-")
        if number == 50:
            service.kill("celery -A mxax worker")

    def all_are_there() -> bool:
        found = {f"killed-worker-{n:03d}-" for n in range(100)}
        return all(service.caught_with(subject) for subject in found)

    service.wait_for(all_are_there, 90, "100 messages after the kill")
    status = service.wait_for(_empty(service), 60, "an empty queue")
    assert status["queued"] == 0


def test_a_killed_edge_is_back_and_the_client_was_not_told_250(service):
    service.tenant("lena", "lena.example", ("hi@lena.example", "lena@away.example"))
    with service.smtp() as client:
        client.ehlo()
        client.mail("ada@author.example")
        client.rcpt("hi@lena.example")
        service.kill("smtp_edge")

        with pytest.raises((smtplib.SMTPException, OSError)):
            client.data(b"Subject: edge-killed\r\n\r\nhello\r\n")

    service.wait_for(lambda: _answers(service), 30, "the edge to be back")
    assert service.caught_with("edge-killed") == []


def test_the_database_stopped_means_451_and_mail_flows_again(service):
    service.tenant("mona", "mona.example", ("hi@mona.example", "mona@away.example"))
    service.kill("bin/postgres -D", signal.SIGQUIT)

    code = _reply_without_database(service)

    assert code in (250, 451, 421)
    service.wait_for(lambda: _sends(service, "hi@mona.example"), 40, "mail to be taken again")
    service.wait_caught("after-the-database")
    if code == 250:  # the database was back before the final dot: then it must arrive
        service.wait_caught("no-database")
    else:
        assert service.caught_with("no-database") == []


def _reply_without_database(service) -> int:
    """The last reply of a transaction that begins when the database has been killed."""
    try:
        with service.smtp() as client:
            client.ehlo()
            client.mail("ada@author.example")
            code, _ = client.rcpt("hi@mona.example")
            if code != 250:
                return code
            return client.data(b"Subject: no-database\r\n\r\nhello\r\n")[0]
    except smtplib.SMTPServerDisconnected:
        return 421


def _sends(service, address: str) -> bool:
    try:
        return bool(service.send(address, subject="after-the-database"))
    except (AssertionError, smtplib.SMTPException, OSError):
        return False


def _answers(service) -> bool:
    try:
        with service.smtp() as client:
            return client.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _empty(service):
    def status():
        now = service.manage_json("queue", "status")
        return now if now["queued"] + now["deferred"] + now["in_flight"] == 0 else None

    return status
