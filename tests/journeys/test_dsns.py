"""Failure, return and loop on a whole service: real processes, real sockets, DNS in memory."""

import time
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.installation import Installation, installed

pytestmark = [pytest.mark.journey, pytest.mark.slow]
BOUNCE = Path(__file__).parents[1] / "fixtures" / "bounces" / "postfix.eml"
AUTHORS = [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])]


@pytest.fixture(scope="module")
def next_hop():
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, next_hop):
    zone = Zone({f"author{n}.example": AUTHORS for n in range(40)})
    with serve(zone):
        host, port = zone.address
        folder = tmp_path_factory.mktemp("service")
        extra = {
            "MXAX_DNS_SERVERS": f"{host}:{port}",
            "MXAX_SMARTHOST": f"127.0.0.1:{next_hop.port}",
        }
        with installed(folder, **extra) as running:
            yield running


def dsns(next_hop: Sink, author: str) -> list:
    return [
        message_from_bytes(one.octets, policy=policy.default)
        for one in list(next_hop.arrivals)
        if one.recipient == author and one.mail.startswith("MAIL FROM:<>")
    ]


def arrived(next_hop: Sink, recipient: str) -> list:
    return [one for one in list(next_hop.arrivals) if one.recipient == recipient]


def offer(service: Installation, octets: bytes, recipient: str, reverse_path: str = ""):
    """Give a message to our MX; the reply that decided."""
    with service.smtp() as client:
        client.ehlo()
        client.mail(reverse_path)
        code, text = client.rcpt(recipient)
        if code == 250:
            code, text = client.data(octets)
        return code, text.decode()


def test_one_of_three_fails_one_waits_one_arrives(service, next_hop):
    service.tenant("ivy", "ivy.example", ("ok@ivy.example", "ok@far.example"),
                   ("later@ivy.example", "later@far.example"),
                   ("never@ivy.example", "secret.never@far.example"))  # fmt: skip
    next_hop.script["RCPT later@far.example"] = ["451 4.7.1 greylisted"]
    next_hop.script["RCPT secret.never@far.example"] = ["550 5.1.1 secret.never is unknown"]

    trace = service.send(
        ["ok@ivy.example", "later@ivy.example", "never@ivy.example"],
        reverse_path="carol@author1.example",
    )
    service.wait_for(lambda: dsns(next_hop, "carol@author1.example"), 20, "the DSN")
    service.wait_for(
        lambda: service.manage_json("queue", "status")["in_flight"] == 0, 20, "the queue to rest"
    )

    (dsn,) = dsns(next_hop, "carol@author1.example")
    (about,) = list(dsn.iter_parts())[1].get_payload()[1:]
    assert about["Final-Recipient"] == "rfc822; never@ivy.example"
    assert "secret.never" not in str(dsn)
    assert "d=mxax.test" in str(dsn["DKIM-Signature"]).replace(" ", "")
    assert len(arrived(next_hop, "ok@far.example")) == 1
    assert service.manage_json("queue", "status")["deferred"] == 1
    told = " ".join(service.manage("trace", trace).split())
    assert "a DSN went to the author" in told
    assert "550 5.1.1 secret.never is unknown" in told


def test_who_is_not_proved_by_spf_is_not_told_and_the_tenant_sees_why(service, next_hop):
    service.tenant("jo", "jo.example", ("never@jo.example", "never@gone.example"))
    next_hop.script["RCPT never@gone.example"] = ["550 5.1.1 unknown"]

    trace = service.send("never@jo.example", reverse_path="forged@victim.example")

    told = service.wait_for(
        lambda: (said := service.manage("trace", trace)) and "not told" in said and said, 20, "it"
    )
    assert "reverse-path not authenticated" in " ".join(told.split())
    assert arrived(next_hop, "forged@victim.example") == []


def test_fifty_forged_senders_to_unknown_users_get_nothing_from_us(service, next_hop):
    service.tenant("kai", "kai.example", ("hi@kai.example", "kai@far.example"))
    before = len(next_hop.arrivals)

    for number in range(50):
        with service.smtp() as client:
            client.ehlo()
            client.mail(f"carol{number}@author{number % 40}.example")
            code, text = client.rcpt(f"nobody{number}@kai.example")
        assert (code, text[:5]) == (550, b"5.1.1")

    time.sleep(1)
    assert len(next_hop.arrivals) == before


def test_a_bounce_comes_back_to_the_author_as_our_own_dsn(service, next_hop):
    service.tenant("lea", "lea.example", ("hi@lea.example", "lea.private@far.example"))
    trace = service.send("hi@lea.example", reverse_path="carol@author2.example")
    (sent,) = service.wait_for(lambda: arrived(next_hop, "lea.private@far.example"), 20, "mail")
    srs = sent.mail.removeprefix("MAIL FROM:<").partition(">")[0]
    assert srs.endswith("@fwd.mxax.test")
    octets = BOUNCE.read_bytes().replace(b"kim@corp.example", b"lea.private@far.example")
    octets = octets.replace(
        octets[octets.index(b"Return-Path:") : octets.index(b"\r\n--B1--")], sent.octets
    )

    forged = srs.replace("SRS0=", "SRS0=q", 1)
    assert offer(service, octets, forged)[0] == 550
    assert offer(service, octets, srs, "person@far.example")[0] == 250  # it is a report
    assert offer(service, b"Subject: hello\r\n\r\nhi\r\n", srs, "person@far.example")[0] == 550
    code, _ = offer(service, octets, srs)

    assert code == 250
    service.wait_for(lambda: dsns(next_hop, "carol@author2.example"), 20, "the DSN")
    (dsn,) = dsns(next_hop, "carol@author2.example")
    (about,) = list(dsn.iter_parts())[1].get_payload()[1:]
    assert (about["Final-Recipient"], about["Status"]) == ("rfc822; hi@lea.example", "5.1.1")
    assert "lea.private" not in str(dsn)
    told = " ".join(service.manage("trace", trace).split())
    assert "returned" in told
    assert "a DSN went to the author" in told


def test_mail_that_comes_back_to_its_route_is_refused_there(service, next_hop):
    service.tenant("mia", "mia.example", ("hi@mia.example", "mia@far.example"))
    service.send("hi@mia.example", reverse_path="carol@author3.example")
    (sent,) = service.wait_for(lambda: arrived(next_hop, "mia@far.example"), 20, "mail")

    code, text = offer(service, sent.octets, "hi@mia.example", "carol@author3.example")

    assert (code, text[:5]) == (554, "5.4.6")


def test_our_own_dsn_that_is_sent_to_us_goes_nowhere(service, next_hop):
    service.tenant("nia", "nia.example", ("never@nia.example", "never@nia-gone.example"),
                   ("hi@nia.example", "nia@far.example"))  # fmt: skip
    next_hop.script["RCPT never@nia-gone.example"] = ["550 5.1.1 unknown"]
    service.send("never@nia.example", reverse_path="carol@author4.example")
    service.wait_for(lambda: dsns(next_hop, "carol@author4.example"), 20, "the DSN")
    (dsn,) = arrived(next_hop, "carol@author4.example")

    code, text = offer(service, dsn.octets, "hi@nia.example")

    assert (code, text[:5]) == (550, "5.7.1")


def test_workers_that_are_killed_tell_nobody_twice(service, next_hop):
    service.tenant("oda", "oda.example", ("never@oda.example", "never@oda-gone.example"))
    authors = [f"carol@author{number}.example" for number in range(20, 40)]
    next_hop.script["RCPT never@oda-gone.example"] = ["550 5.1.1 unknown"] * 100

    for number, author in enumerate(authors):
        service.send("never@oda.example", reverse_path=author)
        if number % 7 == 3:
            service.kill("celery")

    def all_told():
        return all(dsns(next_hop, author) for author in authors)

    service.wait_for(all_told, 120, "all the DSNs")
    for author in authors:
        assert len({dsn["Message-ID"] for dsn in dsns(next_hop, author)}) == 1


def test_mail_without_dns_is_taken_as_fast_as_ever(service):
    """The zone knows nothing of these domains; the answer is a verdict as well."""
    service.tenant("pia", "pia.example", ("hi@pia.example", "pia@far.example"))
    began = time.monotonic()

    for number in range(20):
        service.send("hi@pia.example", reverse_path=f"u@unknown{number}.example")

    assert time.monotonic() - began < 60, "look-ups were waited for"
