"""Returns: what they prove becomes a DSN of ours to the author; all else is recorded only."""

from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from django.utils import timezone

from delivery.markers import marker_keys
from delivery.models import Delivery, Message, NoticeTally
from delivery.selectors import story_of
from mail.facts import LogLevel
from mail.marker import opened_marks, prove_return
from mail.message import header_fields
from mail.plan import Direction, PlannedDelivery
from mail.trace import format_trace_id
from tests.delivery.conftest import eventually
from tests.delivery.test_dsns import notices
from tests.delivery.test_trace import trace

FIXTURES = Path(__file__).parents[1] / "fixtures" / "bounces"
CAROL = "carol@author.example"
SRS = "SRS0=aaaaaaaaaa=bb=author.example=carol@fwd.mxax.test"


@pytest.fixture
def forwarded(queue, sink, sending, ada):
    """Forwards mail of Carol's, and gives its trace id and the mark that the next hop saw."""
    began = []

    def forward(**changes):
        changes = {"authenticated": True, "tenant_id": ada.tenant.pk, **changes}
        deliveries = (PlannedDelivery("hi@ada.example", "kim@corp.example", route_id=42),)
        trace_id = queue.accept(deliveries=deliveries, **changes)
        if not began:
            began.append(sending(sink.port))
        began[0].loop.wake()
        eventually(lambda: not Delivery.objects.exists())
        octets = sink.arrivals[-1].octets
        header = octets[: octets.index(b"\r\n\r\n")]
        assert [m.trace_id for m in opened_marks(header_fields(header), marker_keys())] == [
            trace_id
        ]
        (field,) = (f for f in header_fields(header) if f.name == b"x-mxax-route")
        sink.arrivals.clear()
        return trace_id, b"".join(field.value.split())

    forward.wake = lambda: began[0].loop.wake()
    return forward


def come_back(queue, mark: bytes, name: str = "postfix", to: str = CAROL, **changes):
    """A return to the SRS address behind which `to` is."""
    octets = (FIXTURES / f"{name}.eml").read_bytes().replace(b"{mark}", mark)
    return take(queue, octets, to, **changes)


def take(queue, octets: bytes, to: str = CAROL, **changes):
    """What came to an SRS address, as the edge keeps it."""
    header, _, body = octets.partition(b"\r\n\r\n")
    return queue.accept(
        header=header + b"\r\n",
        body=body,
        **{
            "tenant_id": None,
            "direction": Direction.RETURN,
            "reverse_path": "",
            "outgoing_path": "",
            "log_level": LogLevel.HASHED,
            "deliveries": (PlannedDelivery(SRS, to),),
            **changes,
        },
    )


def nothing_left() -> bool:
    return not Delivery.objects.exists()


@pytest.mark.parametrize("name", ["postfix", "sendmail", "exim", "qmail", "office365", "gmail"])
def test_a_bounce_becomes_our_own_dsn_to_the_author(queue, sink, forwarded, name):
    _, mark = forwarded()

    come_back(queue, mark, name)
    forwarded.wake()
    eventually(lambda: sink.arrivals)

    (arrival,) = sink.arrivals
    assert arrival.mail.startswith("MAIL FROM:<>")
    assert arrival.recipient == CAROL
    dsn = message_from_bytes(arrival.octets, policy=policy.default)
    about = list(dsn.iter_parts())[1].get_payload()[1]
    assert about["Final-Recipient"] == "rfc822; hi@ada.example"
    assert about["Action"] == "failed"
    for private in (b"kim@", b" kim", b"corp.example", b"10.0.0.4"):
        assert private not in arrival.octets.lower()
    assert notices(queue)[-1] == ("hi@ada.example", "failed", "told")
    eventually(nothing_left)


def test_the_tenant_sees_the_return_on_the_message_that_it_is_about(queue, sink, forwarded, ada):
    trace_id, mark = forwarded()

    return_id = come_back(queue, mark)
    forwarded.wake()
    eventually(nothing_left)

    story = story_of(trace_id)
    assert story.tenant == "ada"
    assert story.result == "returned"
    told = " ".join(trace(format_trace_id(trace_id)).split())
    assert "it reads as: failed" in told
    assert "User doesn't exist: kim@corp.example" in told
    assert "a DSN went to the author" in told
    own = " ".join(trace(format_trace_id(return_id)).split())
    assert format_trace_id(trace_id) in own
    assert "author.example" not in own


@pytest.mark.parametrize(
    ("name", "changes", "to", "reason"),
    [
        ("postfix", {"authenticated": False}, CAROL, "reverse-path not authenticated"),
        ("postfix_delayed", {}, CAROL, "the return tells of no failure"),
        ("delivered", {}, CAROL, "the return tells of no failure"),
    ],
)
def test_what_nobody_is_told_of_is_recorded(queue, sink, forwarded, name, changes, to, reason):
    _, mark = forwarded(**changes)

    come_back(queue, mark, name, to)
    forwarded.wake()
    eventually(nothing_left)

    assert sink.arrivals == []
    assert [one["reason"] for one in queue.events("noticed")][-1] == reason


@pytest.mark.parametrize("mark", [b"", b"AdEHn84mIWMDFE63N704KkgE53loxkEfmi4eIXsDLyS"])
@pytest.mark.parametrize("name", ["postfix", "vacation", "plain_mail", "challenge"])
def test_what_proves_nothing_is_recorded_by_itself(queue, sink, forwarded, name, mark):
    forwarded()

    come_back(queue, mark, name)
    forwarded.wake()
    eventually(nothing_left)

    (event,) = queue.events("returned")
    assert event["direction"] == "return"
    assert event["reason"]
    assert "carol" not in str(queue.events("returned"))
    assert queue.events("noticed") == []
    assert sink.arrivals == []


def test_a_mark_does_not_speak_for_another_author(queue, sink, forwarded):
    """Mallory got Carol's mail once, and would have us write to Trent in her name."""
    _, mark = forwarded()

    come_back(queue, mark, to="trent@elsewhere.example")
    forwarded.wake()
    eventually(nothing_left)

    assert sink.arrivals == []
    assert not NoticeTally.objects.exists()


def test_a_bounce_for_spam_is_not_passed_on(queue, sink, forwarded):
    _, mark = forwarded()
    octets = (FIXTURES / "postfix.eml").read_bytes().replace(b"{mark}", mark)
    octets = octets.replace(b"5.1.1", b"5.7.1").replace(b"User doesn't exist", b"spam rejected")

    take(queue, octets)
    forwarded.wake()
    eventually(nothing_left)

    assert sink.arrivals == []
    assert notices(queue)[-1][2] == "refused for content or policy"


def test_ten_returns_of_one_message_are_one_dsn(queue, sink, forwarded):
    _, mark = forwarded()

    for _ in range(5):
        come_back(queue, mark)
    forwarded.wake()
    eventually(nothing_left)
    NoticeTally.objects.update(at=timezone.now() - timedelta(hours=2))
    for _ in range(5):
        come_back(queue, mark)
    forwarded.wake()
    eventually(nothing_left)

    assert len(sink.arrivals) == 1
    reasons = [reason for _, _, reason in notices(queue) if reason]
    assert reasons.count("told") == 1


def test_a_return_of_our_own_dsn_ends_there(queue, sink, forwarded):
    """Its reverse-path is null, so nobody should; one that comes to an SRS address proves nothing."""
    _, mark = forwarded()
    come_back(queue, mark)
    forwarded.wake()
    eventually(lambda: sink.arrivals and nothing_left())
    dsn = sink.arrivals[0].octets

    take(queue, dsn)
    forwarded.wake()
    eventually(nothing_left)

    assert len(sink.arrivals) == 1
    assert not Message.objects.exists()


def test_what_the_tenant_does_not_log_is_not_logged_of_a_return(queue, sink, forwarded):
    _, mark = forwarded(log_level=LogLevel.NOTHING)

    come_back(queue, mark)
    forwarded.wake()
    eventually(lambda: sink.arrivals)
    eventually(nothing_left)

    kept = str([queue.events(kind) for kind in ("accepted", "attempted", "returned", "noticed")])
    for address in ("carol", "kim", "hi@ada"):
        assert address not in kept


def test_a_return_larger_than_one_piece_is_read_by_its_beginning(queue, sink, forwarded):
    _, mark = forwarded()
    octets = (FIXTURES / "postfix.eml").read_bytes().replace(b"{mark}", mark)

    take(queue, octets + b"more text\r\n" * 60_000)
    forwarded.wake()

    eventually(lambda: sink.arrivals)


def test_a_mark_from_before_a_change_of_the_data_key_still_proves(queue, sink, forwarded, settings):
    _, mark = forwarded()
    settings.ENV = replace(settings.ENV, data_keys=(b"n" * 32, *settings.ENV.data_keys))
    marker_keys.cache_clear()

    assert len(marker_keys()) == 2
    assert prove_return([mark], reverse_path=CAROL, keys=marker_keys()) is not None
    assert prove_return([mark], reverse_path=CAROL, keys=marker_keys()[:1]) is None
    marker_keys.cache_clear()
