"""Authors hear of failures: one DSN, about the address that they wrote, in our own words."""

from email import message_from_bytes, policy

from delivery.models import ClockTimestamp, Delivery
from mail.plan import PlannedDelivery
from tests.delivery.conftest import eventually

CAROL = "carol@author.example"


def accept(queue, *destinations: str, **changes):
    """Mail whose reverse-path passed SPF, to a recipient of its own for each destination."""
    deliveries = tuple(
        PlannedDelivery(f"{to.partition('@')[0]}.here@ada.example", to, route_id=number)
        for number, to in enumerate(destinations, 1)
    )
    return queue.accept(
        "x@x.example", **{"deliveries": deliveries, "authenticated": True, **changes}
    )


def dsns(sink):
    return [
        message_from_bytes(one.octets, policy=policy.default)
        for one in sink.arrivals
        if one.mail.startswith("MAIL FROM:<>")
    ]


def notices(queue) -> list[tuple[str, str, str]]:
    return [(one["recipient"], one["outcome"], one["reason"]) for one in queue.events("noticed")]


def decided(queue, count: int):
    return lambda: len(queue.events("noticed")) >= count


def test_one_of_three_fails_and_only_that_one_is_told_of(queue, sink, sending):
    accept(queue, "ok@x.example", "later@x.example", "never@x.example")
    sink.script["RCPT later@x.example"] = ["451 4.7.1 greylisted"]
    sink.script["RCPT never@x.example"] = ["550 5.1.1 never@x.example: no such user"]

    sending(sink.port)
    eventually(lambda: dsns(sink))

    (dsn,) = dsns(sink)
    assert dsn["To"].addresses[0].addr_spec == CAROL
    assert dsn.get_content_type() == "multipart/report"
    _, status, original = dsn.iter_parts()
    blocks = status.get_payload()
    assert [str(block["Final-Recipient"]) for block in blocks[1:]] == [
        "rfc822; never.here@ada.example"
    ]
    assert (blocks[1]["Action"], blocks[1]["Status"]) == ("failed", "5.1.1")
    assert "Subject: Tea" in original.as_string()
    assert notices(queue) == [("never.here@ada.example", "failed", "told")]
    eventually(lambda: not Delivery.objects.filter(message__direction="notice").exists())
    assert sorted(one.recipient for one in sink.arrivals) == [CAROL, "ok@x.example"]
    assert [one.destination for one in queue.deliveries()] == ["later@x.example", "never@x.example"]
