"""The road from end to end: mail comes in at the MX and out where the owner said."""

import re
import shutil
import subprocess

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.slow]


def test_the_first_start_shows_one_message_and_its_trace(service):
    service.wait_caught("The first message")

    service.wait_for(lambda: "Try it:" in service.said(), 30, "the demo to be printed")

    said = service.said()
    for word in ("received", "judged", "accepted", "signed", "delivered"):
        assert word in said, said


def test_a_message_arrives_where_its_owner_said(service):
    service.tenant("anna", "anna.example", ("hi@anna.example", "friend@away.example"))

    trace_id = service.send("hi@anna.example", subject="to-anna")

    (caught,) = service.wait_caught("to-anna")
    assert caught.forward_path == "friend@away.example"
    assert caught.reverse_path.startswith("SRS0=")
    assert caught.reverse_path.endswith("@fwd.mxax.test")
    assert caught.octets.count(b"DKIM-Signature:") == 2
    assert b"a=rsa-sha256" in caught.octets
    assert b"a=ed25519-sha256" in caught.octets
    assert trace_id.encode() in caught.octets
    kinds = [event["kind"] for event in service.manage_json("trace", trace_id)]
    assert kinds[0] == "accepted"
    assert "attempted" in kinds


def test_two_tenants_with_the_same_local_part_get_their_own_mail(service):
    service.tenant("berta", "berta.example", ("hi@berta.example", "berta@away.example"))
    service.tenant("clara", "clara.example", ("hi@clara.example", "clara@away.example"))

    service.send("hi@berta.example", subject="only-for-berta")
    service.send("hi@clara.example", subject="only-for-clara")

    (berta,) = service.wait_caught("only-for-berta")
    (clara,) = service.wait_caught("only-for-clara")
    assert (berta.forward_path, clara.forward_path) == ("berta@away.example", "clara@away.example")


def test_one_message_to_two_tenants_becomes_two_that_share_nothing(service):
    service.tenant("dora", "dora.example", ("hi@dora.example", "dora@away.example"))
    service.tenant("emma", "emma.example", ("hi@emma.example", "emma@away.example"))

    service.send(["hi@dora.example", "hi@emma.example"], subject="for-two-tenants")

    caught = service.wait_caught("for-two-tenants", count=2)
    ids = {re.search(rb"\tid (\S+)", one.octets).group(1) for one in caught}
    assert {one.forward_path for one in caught} == {"dora@away.example", "emma@away.example"}
    assert len(ids) == 2
    assert not any(b"emma" in one.octets for one in caught if "dora" in one.forward_path)


def test_ten_megabytes_come_through_octet_by_octet(service):
    service.tenant("gerda", "gerda.example", ("hi@gerda.example", "gerda@away.example"))

    service.send("hi@gerda.example", subject="ten-megabytes", size=10_000_000)

    (caught,) = service.wait_caught("ten-megabytes", patience=60)
    body = caught.octets.partition(b"\r\n\r\n")[2]
    assert body == b"hello\r\n" + (b"x" * 70 + b"\r\n") * (10_000_000 // 71)


def test_a_changed_route_counts_for_the_next_recipient(service):
    service.tenant("hilda", "hilda.example", ("hi@hilda.example", "old@away.example"))
    service.send("hi@hilda.example", subject="before-the-change")
    service.wait_caught("before-the-change")

    service.manage("route", "remove", "hilda", "hi@hilda.example")
    service.manage("route", "add", "hilda", "hi@hilda.example", "new@away.example", "--confirmed")
    service.send("hi@hilda.example", subject="after-the-change")

    (caught,) = service.wait_caught("after-the-change")
    assert caught.forward_path == "new@away.example"


def test_an_unknown_address_is_refused_and_support_can_say_why(service):
    service.tenant("ida", "ida.example", ("hi@ida.example", "ida@away.example"))
    with service.smtp() as client:
        client.ehlo()
        client.mail("ada@author.example")

        code, text = client.rcpt("nobody@ida.example")

    assert (code, text[:5]) == (550, b"5.1.1")
    story = service.wait_for(
        lambda: service.manage("trace", "--recipient", "nobody@ida.example", check=False), 10, "it"
    )
    assert "550 5.1.1" in story
    assert "unknown_address" in story


def test_swaks_can_use_the_line_that_is_printed(service):
    if shutil.which("swaks") is None:
        pytest.skip("swaks is not installed")
    line = re.search(r"swaks --server \S+ --from \S+ --to \S+", service.said()).group()

    done = subprocess.run(
        [*line.split(), "--header", "Subject: by-swaks", "--h-From", "you@example.net", "--tls"],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    service.wait_caught("by-swaks")
