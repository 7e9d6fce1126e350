"""What an operator does to the queue, by the command as he types it."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone

from delivery.models import Content, Delivery, DeliveryEvent, Message
from delivery.outbox import insert_events
from mail.facts import LogLevel
from mail.plan import Hold
from mail.trace import format_trace_id
from tenants.models import PlatformAuditEntry
from tests.delivery.log_words import RECIPIENT, a_trace_id

pytestmark = pytest.mark.django_db
State = Delivery.State


@pytest.fixture
def rings(monkeypatch, django_capture_on_commit_callbacks):
    """How often the bell was rung."""
    rung: list[int] = []
    monkeypatch.setattr("ops.management.commands.queue.ring", lambda: rung.append(1))
    monkeypatch.setattr("ops.management.commands.queue.BELL_SECONDS", 0)
    return rung


def queue(*arguments: str) -> str:
    out = StringIO()
    call_command("queue", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def in_queue(
    tenant, *states: State, destination="friend@far.example", content=True, attempts=0, minutes=0
) -> Message:
    """A message of this tenant with a delivery in each of these states, due in so many minutes."""
    message = Message.objects.create(
        id=a_trace_id(), tenant_id=tenant.pk, direction="forward", client_ip="192.0.2.7",
        helo="client.example", protocol="ESMTP", size_octets=10, header_octets=5, chunk_count=1,
        smtputf8=False, eight_bit=False, log_level=LogLevel.METADATA,
    )  # fmt: skip
    if content:
        Content.objects.create(message_id=message.id, number=0, tenant_id=tenant.pk, octets=b"x")
    for state in states:
        Delivery.objects.create(
            message=message, tenant_id=tenant.pk, recipient=RECIPIENT, destination=destination,
            state=state, attempts=attempts, next_attempt_at=timezone.now() + timedelta(minutes=minutes),
            finished_at=timezone.now() if state == State.FAILED else None,
        )  # fmt: skip
    return message


def states() -> list[int]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_status_counts_each_state(ada):
    in_queue(ada.tenant, State.QUEUED, State.IN_FLIGHT, State.HELD, State.FAILED, State.FAILED)
    in_queue(ada.tenant, State.QUEUED, attempts=1, minutes=30)
    in_queue(ada.tenant, State.QUEUED, attempts=1, minutes=-1)

    status = json.loads(queue("status", "--json"))

    age = status.pop("oldest_age_seconds")
    assert status == {"queued": 2, "deferred": 1, "in_flight": 1, "held": 1, "failed": 2}
    assert 0 <= age < 60


def test_an_empty_queue_has_no_age(db):
    assert json.loads(queue("status", "--json"))["oldest_age_seconds"] == 0
    assert "deferred" in queue("status")


def test_every_word_of_the_list_can_be_asked_for(ada):
    in_queue(ada.tenant, State.QUEUED, State.IN_FLIGHT, State.HELD, State.FAILED)
    in_queue(ada.tenant, State.QUEUED, attempts=1, minutes=30)

    for row in json.loads(queue("list", "--json")):
        (found,) = json.loads(queue("list", "--json", "--state", row["state"].replace(" ", "_")))
        assert found["state"] == row["state"]


def test_list_shows_what_matches(ada, mallory):
    mine = in_queue(ada.tenant, State.QUEUED)
    in_queue(mallory.tenant, State.QUEUED)
    in_queue(ada.tenant, State.HELD)

    shown = queue("list", "--tenant", "ada", "--state", "queued")

    assert format_trace_id(mine.id) in shown
    assert shown.count("→") == 1
    assert "Nothing" in queue("list", "--domain", "nowhere.example")


def test_retry_makes_a_deferred_delivery_due_now_and_rings(
    ada, rings, django_capture_on_commit_callbacks
):
    message = in_queue(ada.tenant, State.QUEUED, attempts=3, minutes=200)

    with django_capture_on_commit_callbacks(execute=True):
        said = queue("retry", format_trace_id(message.id))

    assert said.strip() == "1 delivery is due now."
    assert Delivery.objects.filter(next_attempt_at__lte=Now()).count() == 1
    assert rings
    event = DeliveryEvent.objects.get()
    assert (event.kind, event.data["destination"]) == ("released", "friend@far.example")


def test_retry_takes_failed_mail_only_while_its_content_is_there(ada, rings):
    in_queue(ada.tenant, State.FAILED)
    in_queue(ada.tenant, State.FAILED, content=False)

    queue("retry", "--state", "failed")

    assert states() == [State.QUEUED, State.FAILED]
    assert Delivery.objects.get(state=State.QUEUED).finished_at is None


def test_hold_and_release(ada, rings):
    message = in_queue(ada.tenant, State.QUEUED, State.IN_FLIGHT)

    queue("hold", format_trace_id(message.id))
    held = states()
    queue("release", "--tenant", "ada")

    assert held == [State.HELD, State.IN_FLIGHT]
    assert states() == [State.QUEUED, State.IN_FLIGHT]
    kinds = list(DeliveryEvent.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["held", "released"]


def test_a_release_of_many_lets_go_what_the_service_holds(ada, rings):
    kinds = (Hold.NONE, Hold.OPERATOR, Hold.SUSPECT, Hold.TENANT, Hold.ROUTE, Hold.QUARANTINE)
    messages = [in_queue(ada.tenant, State.HELD) for _ in kinds]
    for message, kind in zip(messages, kinds, strict=True):
        Delivery.objects.filter(message=message).update(hold=kind)

    queue("release", "--all")
    assert states() == [State.QUEUED] * 3 + [State.HELD] * 3

    queue("release", "--tenant", "ada", "--hold", "route")
    queue("release", format_trace_id(messages[-1].id))
    assert states() == [State.QUEUED] * 3 + [State.HELD, State.QUEUED, State.QUEUED]


def test_delete_removes_the_message_with_its_last_delivery(ada):
    message = in_queue(ada.tenant, State.QUEUED, State.HELD, State.FAILED)

    queue("delete", format_trace_id(message.id))

    assert not Message.objects.exists()
    assert not Content.objects.exists()
    assert DeliveryEvent.objects.filter(kind="deleted").count() == 3


def test_delete_leaves_what_is_being_sent(ada):
    in_queue(ada.tenant, State.QUEUED, State.IN_FLIGHT)

    queue("delete", "--all")

    assert states() == [State.IN_FLIGHT]
    assert Content.objects.exists()


def test_delete_only_counts_with_dry_run(ada):
    in_queue(ada.tenant, State.QUEUED, State.HELD)

    said = queue("delete", "--tenant", "ada", "--dry-run")

    assert said.strip() == "2 deliveries would be deleted."
    assert len(states()) == 2
    assert not DeliveryEvent.objects.exists()


def test_a_filter_touches_nothing_else(ada, mallory):
    in_queue(ada.tenant, State.QUEUED, destination="a@one.example")
    in_queue(ada.tenant, State.QUEUED, destination="b@two.example")
    in_queue(mallory.tenant, State.QUEUED, destination="c@one.example")

    queue("hold", "--tenant", "ada", "--domain", "ONE.example")

    assert states() == [State.HELD, State.QUEUED, State.QUEUED]


def test_many_rows_are_changed_in_batches(ada, monkeypatch):
    monkeypatch.setattr("delivery.queue_services.BATCH", 2)
    in_queue(ada.tenant, *[State.QUEUED] * 5)

    said = queue("hold", "--all")

    assert said.strip() == "5 deliveries are held."
    assert set(states()) == {State.HELD}


def test_acting_is_audited_and_needs_to_be_told_on_what(ada):
    in_queue(ada.tenant, State.QUEUED)

    with pytest.raises(CommandError, match="a trace id, a filter, or --all"):
        queue("hold")
    queue("hold", "--tenant", "ada")

    entry = PlatformAuditEntry.objects.get(action="queue.hold")
    assert (entry.subject, entry.tenant_slug) == ("tenant ada", "ada")
    assert entry.new == {"deliveries": 1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("hold", "nonsense"), "is not a trace id"),
        (("hold", "--tenant", "nobody"), "There is no tenant nobody"),
        (("hold", format_trace_id(a_trace_id())), "No delivery of"),
    ],
)
def test_what_cannot_be_is_one_line(db, arguments, says):
    with pytest.raises(CommandError, match=says):
        queue(*arguments)


def test_a_tenant_who_logs_nothing_gets_no_event_of_it(ada):
    message = in_queue(ada.tenant, State.QUEUED)
    Message.objects.filter(pk=message.pk).update(log_level=LogLevel.NOTHING)

    queue("hold", "--all")

    assert states() == [State.HELD]
    assert not DeliveryEvent.objects.exists()
    assert insert_events([]) == 0
