"""Authors hear of failures: one DSN, about the address that they wrote, in our own words."""

import threading
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from delivery import sql
from delivery.attempts import KeyRing
from delivery.claim import claim_due
from delivery.dsns import news_of_attempt
from delivery.markers import marker_keys
from delivery.models import Delivery, DeliveryEvent, Message, NoticeTally
from delivery.settle import Ending, settle
from delivery.transport.values import Outcome, Stage
from mail.facts import LogLevel
from mail.marker import Mark, mark_field, seal_mark
from mail.plan import Direction, PlannedDelivery
from mail.retry import DeliveryState, NextStep, OutcomeClass
from mail.signing import generate_key_pair, load_signing_key, public_tags
from mail.trace import format_trace_id, new_trace_id
from tests.delivery.conftest import HEADER, eventually
from tests.mail.dkim_engine import verify

CAROL = "carol@author.example"


@pytest.fixture(scope="module")
def keys(keys):
    """The service domain has a key of its own."""
    pem, _ = generate_key_pair("rsa-sha256")
    key = load_signing_key(pem, algorithm="rsa-sha256", domain="mxax.test", selector="s")
    return KeyRing(keys.forward, (key,))


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


def test_several_that_fail_together_are_told_of_in_one(queue):
    accept(queue, "one@x.example", "two@x.example")

    settle_now(failed(one) for one in claim())

    (message,) = Message.objects.filter(direction="notice")
    # Two recipients, their message, two routes, one reverse-path.
    assert NoticeTally.objects.count() == 6
    assert [reason for _, _, reason in notices(queue)] == ["told", "told"]
    ids = {one["notice_id"] for one in queue.events("noticed")}
    assert ids == {format_trace_id(message.id)}


def test_two_destinations_of_one_recipient_are_one_failure_to_the_author(queue):
    queue.accept("one@x.example", "two@x.example", authenticated=True)
    first, second = claim()

    settle_now([failed(first)])
    NoticeTally.objects.update(at=timezone.now() - timedelta(hours=2))
    settle_now([failed(second)])

    assert [reason for _, _, reason in notices(queue)] == ["told", "already told"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reverse_path": "", "outgoing_path": ""}, "null reverse-path"),
        ({"authenticated": False}, "reverse-path not authenticated"),
    ],
)
def test_who_may_not_be_told_is_not_and_the_log_says_why(queue, sink, sending, changes, reason):
    accept(queue, "never@x.example", **changes)
    sink.script["RCPT"] = ["550 5.1.1 no such user"]

    sending(sink.port)
    eventually(decided(queue, 1))

    assert notices(queue) == [("never.here@ada.example", "failed", reason)]
    assert not Message.objects.filter(direction="notice").exists()
    assert queue.deliveries()[0].state == Delivery.State.FAILED


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("DOT", "550 5.7.1 Message looks like spam"),
        ("DOT", "554 Transaction failed"),
        ("DATA", "554 Nothing from you"),
        ("RCPT", "550 5.7.1 Service unavailable, client host blocked"),
        ("MAIL", "550 5.7.23 SPF validation failed"),
    ],
)
def test_what_a_next_hop_takes_for_spam_is_recorded_only(queue, sink, sending, verb, reply):
    accept(queue, "ben@x.example")
    sink.script[verb] = [reply]

    sending(sink.port)
    eventually(decided(queue, 1))

    assert [reason for _, _, reason in notices(queue)] == ["refused for content or policy"]
    assert sink.arrivals == []


def test_a_full_mailbox_after_the_content_is_told(queue, sink, sending):
    accept(queue, "ben@x.example")
    sink.script["DOT"] = ["552 5.2.2 <ben@x.example>: mailbox full"]

    sending(sink.port)
    eventually(lambda: dsns(sink))

    assert b"5.2.2" in sink.arrivals[0].octets


def test_the_dsn_is_signed_by_the_service_and_names_no_private_destination(
    queue, sink, sending, keys
):
    accept(
        queue,
        deliveries=(
            PlannedDelivery("hi@ada.example", "private.person@hidden.example", route_id=1),
        ),
    )
    sink.script["RCPT"] = [
        "550-5.1.1 <private.person@hidden.example>: Recipient address rejected:\n"
        "550 5.1.1 private.person unknown at mx7.hidden.example [203.0.113.9]"
    ]

    sending(sink.port)
    eventually(lambda: dsns(sink))

    octets = sink.arrivals[0].octets
    asked = []

    def lookup(name, *_):
        asked.append(name)
        return f"v=DKIM1; {public_tags(keys.service[0].private)}".encode()

    assert verify(octets, lookup=lookup)
    assert asked == [b"s._domainkey.mxax.test."]
    for private in (b"private", b"person", b"hidden", b"mx7.", b"203.0.113.9"):
        assert private not in octets.lower()


def test_of_two_hosted_domains_the_author_hears_of_the_one_that_he_wrote_to(queue, sink, sending):
    """Ada's route leads to Ben's domain, which is hosted here too; there it fails."""
    first = Mark(
        trace_id=new_trace_id(1_795_323_600_000, bytes(10)),
        tenant_id=1,
        route_id=9,
        recipient="hi@ada.example",
        reverse_path=CAROL,
        message_id=b"",
        authenticated=True,
    )
    header = mark_field(seal_mark(first, marker_keys()[0])) + HEADER
    accept(queue, "ben@x.example", header=header, tenant_id=2)
    sink.script["RCPT"] = ["550 5.1.1 no such user"]

    sending(sink.port)
    eventually(lambda: dsns(sink))

    (dsn,) = dsns(sink)
    about = list(dsn.iter_parts())[1].get_payload()[1]
    assert about["Final-Recipient"] == "rfc822; hi@ada.example"
    assert b"ben" not in sink.arrivals[0].octets.partition(b"From: Mail")[2]
    assert notices(queue) == [("ben.here@ada.example", "failed", "told")]


def test_the_author_hears_of_a_delay_once_and_of_the_end_once(queue, sink, sending):
    accept(queue, "ben@x.example")
    dead = "451 4.4.1 still down"
    sink.script["RCPT ben@x.example"] = [dead] * 6
    loop = sending(sink.port).loop
    eventually(lambda: len(queue.events()) == 1)
    assert notices(queue) == []

    for number in (2, 3, 4):
        came(hours=number + 3)
        try_again(queue, loop, number)
    eventually(lambda: len(dsns(sink)) == 1)
    assert notices(queue) == [("ben.here@ada.example", "delayed", "told")]
    _, status, _ = dsns(sink)[0].iter_parts()
    about = status.get_payload()[1]
    assert (about["Action"], about["Status"]) == ("delayed", "4.4.1")
    assert about["Will-Retry-Until"]

    NoticeTally.objects.update(at=timezone.now() - timedelta(hours=4))
    came(days=5, hours=1)
    try_again(queue, loop, 5)
    eventually(lambda: len(dsns(sink)) == 2)
    _, status, _ = dsns(sink)[1].iter_parts()
    about = status.get_payload()[1]
    assert (about["Action"], about["Status"]) == ("failed", "5.4.7")
    assert [outcome for _, outcome, _ in notices(queue)] == ["delayed", "failed"]


def test_a_delay_is_told_after_four_hours_though_the_next_attempt_is_later(queue):
    accept(queue, "slow@x.example")
    now = timezone.now()
    came(hours=3, minutes=45)
    (delivery,) = claim()
    outcome = Outcome(OutcomeClass.TRANSIENT, Stage.RCPT, "451 4.4.1 down", 451, "4.4.1")

    def ending(hours: int) -> Ending:
        at = now + timedelta(hours=hours)
        step = NextStep(DeliveryState.DEFERRED, at, "4.4.1")
        news = news_of_attempt(delivery, delivery.message.content, outcome, step, now)
        return Ending(
            delivery.id, delivery.message.id, delivery.token, int(Delivery.State.QUEUED), news=news
        )

    assert ending(0).news is None
    settle_now([ending(4)])

    dsn = Delivery.objects.get(message__direction="notice")
    assert timedelta(minutes=14) < dsn.next_attempt_at - now < timedelta(minutes=16)


def test_nobody_hears_of_five_dead_days_of_a_null_reverse_path(queue, sink, sending):
    accept(queue, "ben@x.example", reverse_path="", outgoing_path="")
    sink.script["RCPT"] = ["451 4.4.1 still down"] * 2
    came(hours=5)

    loop = sending(sink.port).loop
    eventually(lambda: len(queue.events()) == 1)
    came(days=5, hours=1)
    try_again(queue, loop, 2)

    eventually(decided(queue, 2))
    assert [reason for _, _, reason in notices(queue)] == ["null reverse-path"] * 2
    assert sink.arrivals == []


@pytest.mark.parametrize(
    "field",
    [b"Precedence: bulk", b"List-Id: <tea.author.example>", b"Auto-Submitted: auto-replied"],
)
def test_lists_and_machines_hear_of_failures_but_not_of_delays(queue, sink, sending, field):
    header = HEADER + field + b"\r\n"
    accept(queue, "slow@x.example", header=header)
    accept(queue, "never@x.example", header=header)
    came(hours=5)
    sink.script["RCPT slow@x.example"] = ["451 4.4.1 still down"]
    sink.script["RCPT never@x.example"] = ["550 5.1.1 no such user"]

    sending(sink.port)
    eventually(decided(queue, 2))

    assert sorted(notices(queue)) == [
        ("never.here@ada.example", "failed", "told"),
        ("slow.here@ada.example", "delayed", "no courtesy mail to lists and machines"),
    ]


def test_our_dsn_says_that_a_machine_wrote_it(queue, sink, sending):
    accept(queue, "never@x.example")
    sink.script["RCPT"] = ["550 5.1.1 no such user"]

    sending(sink.port)
    eventually(lambda: dsns(sink))

    assert dsns(sink)[0]["Auto-Submitted"] == "auto-replied"


def test_an_author_hears_once_an_hour(queue):
    accept(queue, "one@x.example")
    settle_now(failed(one) for one in claim())
    accept(queue, "two@x.example", reverse_path="CAROL@author.example")
    settle_now(failed(one) for one in claim_forwards())
    NoticeTally.objects.update(at=timezone.now() - timedelta(minutes=61))
    accept(queue, "three@x.example")
    settle_now(failed(one) for one in claim_forwards())

    assert [reason for _, _, reason in notices(queue)] == [
        "told", "told this reverse-path within the hour", "told",
    ]  # fmt: skip


def test_recipients_of_a_message_that_fail_one_by_one_are_told_of_an_hour_apart(queue):
    accept(queue, "one@x.example", "two@x.example", "three@x.example")
    accept(queue, "other@x.example")
    deliveries = {one.destination.partition("@")[0]: one for one in claim()}

    for name in ("one", "two", "other", "three"):
        settle_now([failed(deliveries[name])])

    assert notices(queue) == [
        ("one.here@ada.example", "failed", "told"),
        ("two.here@ada.example", "failed", "told when the hour is over"),
        ("other.here@ada.example", "failed", "told this reverse-path within the hour"),
        ("three.here@ada.example", "failed", "told when the hour is over"),
    ]
    due = waiting_dsns()
    assert [round((at - due[0]) / timedelta(hours=1), 2) for at in due] == [0, 1, 2]


def test_a_dsn_that_waits_for_its_hour_takes_it_from_the_next_message(queue):
    accept(queue, "one@x.example", "two@x.example")
    first, second = claim()
    settle_now([failed(first)])
    settle_now([failed(second)])

    came_and_went = timedelta(minutes=70)  # the first hour is over, that of the second has begun
    NoticeTally.objects.update(at=F("at") - came_and_went)
    accept(queue, "three@x.example")
    settle_now(failed(one) for one in claim_forwards())

    assert notices(queue)[-1][2] == "told this reverse-path within the hour"
    assert len(waiting_dsns()) == 2


def test_a_dsn_waits_six_hours_at_most(queue):
    names = [f"n{number}@x.example" for number in range(9)]
    accept(queue, *names)

    for one in claim():
        settle_now([failed(one)])

    reasons = [reason for _, _, reason in notices(queue)]
    assert reasons[0] == "told"
    assert reasons[1:7] == ["told when the hour is over"] * 6
    assert reasons[7:] == ["told this reverse-path within the hour"] * 2


def test_two_that_fail_late_together_wait_together(queue):
    accept(queue, "one@x.example", "two@x.example", "three@x.example")
    first, *others = claim()
    settle_now([failed(first)])

    settle_now([failed(one) for one in others])

    assert len(waiting_dsns()) == 2
    ids = [one["notice_id"] for one in queue.events("noticed")]
    assert ids[1] == ids[2] != ids[0]


def test_of_one_route_twenty_hear_a_day(queue):
    for number in range(23):
        accept(queue, "never@x.example", reverse_path=f"author{number}@author.example")

    settle_now(failed(one) for one in claim())

    reasons = [reason for _, _, reason in notices(queue)]
    assert reasons.count("told") == 20
    assert reasons.count("told about this route too often today") == 3


def test_two_loops_that_settle_at_once_tell_an_author_once(queue):
    accept(queue, "one@x.example")
    accept(queue, "two@x.example")
    first, second = claim()

    def other_loop():
        settle_now([failed(second)])
        connection.close()

    other = threading.Thread(target=other_loop)
    with transaction.atomic():
        settle_now([failed(first)])
        other.start()
        other.join(0.5)  # long enough to be done, were it not to wait for us
    other.join()

    assert sorted(reason for _, _, reason in notices(queue)) == [
        "told", "told this reverse-path within the hour",
    ]  # fmt: skip
    assert Message.objects.filter(direction="notice").count() == 1


def test_endings_that_are_settled_twice_tell_once(queue):
    accept(queue, "never@x.example")
    endings = [failed(one) for one in claim()]

    settle_now(endings)
    NoticeTally.objects.all().delete()
    settle_now(endings)

    assert Message.objects.filter(direction="notice").count() == 1
    assert len(notices(queue)) == 1


def test_when_settling_fails_nobody_is_told_yet(queue):
    accept(queue, "never@x.example")
    endings = [failed(one) for one in claim()]

    with transaction.atomic():
        settle_now(endings)
        transaction.set_rollback(True)

    assert not Message.objects.filter(direction="notice").exists()
    assert not NoticeTally.objects.exists()


def test_a_dsn_that_fails_is_the_end_of_it(queue, sink, sending):
    accept(queue, "never@x.example")
    sink.script["RCPT never@x.example"] = ["550 5.1.1 no such user"]
    sink.script[f"RCPT {CAROL}"] = ["550 5.1.1 nor she"]

    sending(sink.port)
    eventually(lambda: len(queue.events()) == 2)

    assert [one.state for one in queue.deliveries()] == [Delivery.State.FAILED] * 2
    assert len(notices(queue)) == 1
    assert Message.objects.count() == 2


def test_where_the_tenant_lets_us_log_nothing_nothing_is_written_of_the_author(queue):
    accept(queue, "never@x.example", log_level=LogLevel.NOTHING)

    settle_now(failed(one) for one in claim())

    assert Message.objects.filter(direction="notice").exists()
    assert not DeliveryEvent.objects.exists()


def claim():
    with transaction.atomic(), sql.queue_cursor() as cursor:
        return claim_due(cursor, 50).deliveries


def claim_forwards():
    return [one for one in claim() if one.message.direction is Direction.FORWARD]


def failed(delivery) -> Ending:
    """The ending of an attempt that was refused for good."""
    outcome = Outcome(OutcomeClass.PERMANENT, Stage.RCPT, "550 5.1.1 no such user", 550, "5.1.1")
    step = NextStep(DeliveryState.FAILED, reason="5.1.1")
    news = news_of_attempt(delivery, delivery.message.content, outcome, step, timezone.now())
    ending = Ending(delivery.id, delivery.message.id, delivery.token, int(Delivery.State.FAILED))
    return replace(ending, news=news)


def settle_now(endings) -> None:
    with transaction.atomic(), sql.queue_cursor() as cursor:
        settle(cursor, list(endings))


def waiting_dsns() -> list:
    """When each DSN goes, in order."""
    dsns = Delivery.objects.filter(message__direction="notice").order_by("next_attempt_at")
    return list(dsns.values_list("next_attempt_at", flat=True))


def came(**ago: float) -> None:
    """All mail that is there came so long ago."""
    forwards = Message.objects.filter(direction="forward")
    forwards.update(accepted_at=timezone.now() - timedelta(**ago))


def try_again(queue, loop, number: int) -> None:
    """The attempt of this number, now."""
    queue.make_due()
    loop.wake()
    eventually(lambda: sum(one["direction"] == "forward" for one in queue.events()) == number)
