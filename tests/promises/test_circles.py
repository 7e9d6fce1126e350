"""A circle over somebody else's system ends after one copy, and the author hears of it once at most.

Ada forwards to a host outside, which forwards to Mallory here, who forwards back to Ada: no save can
see that, so the marks in the message end it at run time.
"""

from __future__ import annotations

import pytest

from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.installation import installed

pytestmark = [pytest.mark.journey, pytest.mark.slow]

AUTHOR = "carol@author.example"


@pytest.fixture(scope="module")
def outside():
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, outside):
    with serve(Zone({"author.example": [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])]})) as zone:
        host, port = zone.address
        extra = {
            "MXAX_DNS_SERVERS": f"{host}:{port}",
            "MXAX_SMARTHOST": f"127.0.0.1:{outside.port}",
        }
        with installed(tmp_path_factory.mktemp("service"), **extra) as running:
            running.tenant("ada", "ada.example", ("hi@ada.example", "round@outside.example"))
            running.tenant("mallory", "mallory.example", ("on@mallory.example", "hi@ada.example"))
            yield running


def sent_on(service, octets: bytes, recipient: str, reverse_path: str) -> tuple[int, str]:
    """What the system outside does: the same octets on to another recipient of ours."""
    with service.smtp() as client:
        client.ehlo()
        client.mail(reverse_path)
        code, text = client.rcpt(recipient)
        if code == 250:
            code, text = client.data(octets)
        return code, text.decode()


def test_a_circle_over_a_system_outside_ends_after_one_hop_more(service, outside):
    service.send("hi@ada.example", subject="round and round", reverse_path=AUTHOR)
    service.wait_for(lambda: outside.arrivals, 30, "the first copy")
    first = outside.arrivals[0]
    assert first.recipient == "round@outside.example"
    path = first.mail.removeprefix("MAIL FROM:<").partition(">")[0]

    code, _ = sent_on(service, first.octets, "on@mallory.example", path)
    assert code == 250
    service.wait_for(
        lambda: (
            not (status := service.manage_json("queue", "status"))["queued"]
            and not status["in_flight"]
        ),
        30,
        "the circle to end",
    )

    copies = [one for one in outside.arrivals if one.recipient == "round@outside.example"]
    told = [one for one in outside.arrivals if one.recipient == AUTHOR]
    assert len(copies) == 1
    assert len(told) <= 1
    assert sent_on(service, first.octets, "hi@ada.example", path)[0] == 554
