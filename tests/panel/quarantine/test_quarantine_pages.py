"""The quarantine in the panel: what is shown of mail that nobody trusts, and what can be done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from delivery.acceptance import KeptMessage, insert_messages
from delivery.models import Content, Delivery, DeliveryEvent, Message
from mail.facts import LogLevel
from mail.plan import Hold, PlannedDelivery
from mail.policy.trust import ListKind
from routing.models import AuditEntry, TrustEntry
from tenants.context import tenant_schema
from tenants.models import Membership
from tenants.services import suspend_tenant
from tests.delivery.conftest import BODY, HEADER, a_message
from tests.delivery.log_words import the_log_writer_runs
from tests.panel.markup import faults

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:No directory at")]
State = Delivery.State
REASON = "DMARC fails for author.example, whose policy is quarantine"


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.bell.ring", lambda: None)


def quarantined(
    person, *destinations: str, recipient="hi@ada.example", octets=HEADER + b"\r\n" + BODY, **more
) -> Delivery:
    """A message kept in quarantine as the edge keeps it; gives its first delivery."""
    planned = tuple(
        PlannedDelivery(
            recipient,
            one,
            hold=Hold.QUARANTINE,
            hold_reason=more.pop("reason", REASON),
            hold_days=14,
        )
        for one in destinations or ("friend@far.example",)
    )
    plan = replace(a_message(), tenant_id=person.tenant.pk, deliveries=planned, **more)
    insert_messages([KeptMessage(plan, (octets,), 0, 1)])
    return Delivery.objects.filter(message_id=plan.trace_id).order_by("pk")[0]


def the_page(person, name: str, *args) -> str:
    answer = person.client().get(person.url(name, *args))
    assert answer.status_code == 200
    text = answer.content.decode()
    assert faults(text) == []
    return text


def act(person, what: str, row, **more):
    return person.client().post(person.url(f"quarantined-{what}", row.pk), more, follow=True)


def audit(person) -> list[str]:
    with tenant_schema(person.tenant.pk):
        return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def is_editor(ben) -> None:
    Membership.objects.filter(user__email=ben.email).update(role=Membership.Role.EDITOR)


def test_the_list_says_who_for_whom_why_and_until_when(ada):
    quarantined(ada, log_level=LogLevel.HEADERS)
    the_log_writer_runs()

    text = the_page(ada, "quarantine")

    for said in ("carol@author.example", "hi@ada.example", REASON, "Tea"):
        assert said in text, said


def test_the_first_page_says_that_mail_waits_here(ada):
    quarantined(ada, "one@far.example", "two@far.example")
    assert "1 message waits in quarantine." in the_page(ada, "home")

    quarantined(ada)
    assert "2 messages wait in quarantine." in the_page(ada, "home")


def test_several_destinations_of_a_recipient_are_one_line(ada):
    row = quarantined(ada, "one@far.example", "two@far.example")

    text = the_page(ada, "quarantine")

    assert text.count('name="chosen"') == 1
    page = the_page(ada, "quarantined", row.pk)
    assert "one@far.example" in page
    assert "two@far.example" in page
    act(ada, "release", row)
    assert set(Delivery.objects.values_list("state", flat=True)) == {State.QUEUED}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"reason": "dmarc"}, 1),
        ({"reason": "score"}, 1),
        ({"recipient": "sales@"}, 1),
        ({"author": "carol@"}, 2),
        ({"author": "bob@"}, 0),
        ({"author": "carol", "reason": "score", "recipient": "hi@"}, 0),
    ],
)
def test_the_list_is_narrowed(ada, asked, found):
    quarantined(ada)
    quarantined(ada, recipient="sales@ada.example", reason="score 9.1 of rspamd")

    text = ada.client().get(ada.url("quarantine"), asked).content.decode()

    assert text.count('name="chosen"') == found


def test_the_list_goes_on_behind_fifty(ada, django_assert_max_num_queries):
    rows = [quarantined(ada) for _ in range(52)]
    client = ada.client()

    with django_assert_max_num_queries(12):
        first = client.get(ada.url("quarantine"))

    assert first.content.decode().count('name="chosen"') == 50
    after = first.context["slice"].after
    second = client.get(ada.url("quarantine"), {"after": after}).content.decode()
    assert second.count('name="chosen"') == 2
    assert ada.url("quarantined", rows[0].pk) in second
    assert len(first.content) < 60_000


def test_looking_into_it_shows_text_and_fields_and_is_written_down(ada):
    row = quarantined(ada)

    answer = act(ada, "look", row)

    text = answer.content.decode()
    assert faults(text) == []
    assert "Four o&#x27;clock?" in text
    assert "Carol &lt;carol@author.example&gt;" in text
    assert audit(ada)[-1] == "quarantine.read"
    assert "no-store" in answer["Cache-Control"]


def test_a_page_of_a_message_does_not_open_it(ada):
    row = quarantined(ada)

    text = the_page(ada, "quarantined", row.pk)

    assert "clock" not in text
    assert "quarantine.read" not in audit(ada)
    assert ada.client().get(ada.url("quarantined-look", row.pk)).status_code == 405


def test_html_is_shown_as_its_source_and_never_rendered(ada):
    octets = (
        b"From: Carol <carol@author.example>\r\nContent-Type: text/html\r\n\r\n"
        b"<script>alert(1)</script><img src=https://evil.example/pixel>\r\n"
    )
    row = quarantined(ada, octets=octets)

    text = act(ada, "look", row).content.decode()

    assert "Source of the HTML" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert "<img src=https" not in text
    assert faults(text) == []


def test_long_text_stays_a_small_page(ada):
    row = quarantined(ada, octets=HEADER + b"\r\n" + b'<"&>' * 20_000)

    answer = act(ada, "look", row)

    assert len(answer.content) < 60_000
    assert "longer than what is shown" in answer.content.decode()


def test_content_that_does_not_open_is_said(ada):
    row = quarantined(ada)
    Content.objects.update(octets=b"nonsense")

    assert "cannot be opened" in act(ada, "look", row).content.decode()


def test_release_sends_it_once_and_tells_the_log_and_the_audit(ada):
    row = quarantined(ada)

    first, second = act(ada, "release", row), act(ada, "release", row)

    row.refresh_from_db()
    assert (row.state, row.hold) == (State.QUEUED, 0)
    assert row.released_at is not None
    assert "1 message is released" in first.content.decode()
    assert second.status_code == 404
    assert audit(ada).count("quarantine.released") == 1
    assert DeliveryEvent.objects.filter(kind="released").count() == 1


def test_release_and_always_allow_puts_the_author_on_the_list(ada):
    row = quarantined(ada)

    answer = act(ada, "allow", row)

    row.refresh_from_db()
    assert row.state == State.QUEUED
    with tenant_schema(ada.tenant.pk):
        entry = TrustEntry.objects.get()
    assert (entry.kind, entry.subject) == (ListKind.ALLOW.value, "carol@author.example")
    assert "carol@author.example is on your list" in answer.content.decode()


def test_nobody_is_let_in_by_mail_of_two_authors(ada):
    octets = b"From: carol@author.example, bank@bank.example\r\n\r\nHi\r\n"
    row = quarantined(ada, octets=octets)

    answer = act(ada, "allow", row)

    assert "exactly one author" in answer.content.decode()
    row.refresh_from_db()
    assert row.state == State.HELD
    with tenant_schema(ada.tenant.pk):
        assert not TrustEntry.objects.exists()


def test_deleting_asks_first_and_leaves_nothing(ada):
    row = quarantined(ada)

    asked = the_page(ada, "quarantined-delete", row.pk)
    assert "Nobody can bring it back" in asked
    assert Delivery.objects.exists()
    act(ada, "delete", row)

    assert not Message.objects.exists()
    assert not Content.objects.exists()
    assert audit(ada)[-1] == "quarantine.deleted"


def test_chosen_ones_are_released_together(ada):
    rows = [quarantined(ada) for _ in range(3)]
    chosen = [row.pk for row in rows[:2]]

    answer = ada.client().post(
        ada.url("quarantine-chosen"), {"chosen": chosen, "action": "release"}, follow=True
    )

    assert "2 messages are released" in answer.content.decode()
    left = Delivery.objects.filter(state=State.HELD)
    assert list(left.values_list("pk", flat=True)) == [rows[2].pk]


def test_chosen_ones_are_deleted_after_a_question(ada):
    rows = [quarantined(ada) for _ in range(2)]
    client, url = ada.client(), ada.url("quarantine-chosen")
    values = {"chosen": [row.pk for row in rows], "action": "delete"}

    asked = client.post(url, values)
    there = Delivery.objects.count()
    client.post(url, {**values, "sure": "yes"})

    assert "Delete 2 messages?" in asked.content.decode()
    assert faults(asked.content.decode()) == []
    assert (there, Delivery.objects.count()) == (2, 0)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"action": "release"},
        {"action": "burn", "chosen": ["1"]},
        {"action": "release", "chosen": ["x", "-1", "", "٣", "9" * 400]},
        {"action": "delete", "chosen": ["99999999"]},
    ],
)
def test_what_cannot_be_chosen_changes_nothing(ada, values):
    quarantined(ada)

    answer = ada.client().post(ada.url("quarantine-chosen"), values)

    assert answer.status_code == 303
    assert Delivery.objects.get().state == State.HELD


@pytest.mark.parametrize("hold", [Hold.OPERATOR, Hold.SUSPECT, Hold.TENANT, Hold.ROUTE, Hold.NONE])
def test_what_is_held_otherwise_is_not_in_quarantine(ada, hold):
    row = quarantined(ada)
    Delivery.objects.update(hold=hold)

    assert ada.client().get(ada.url("quarantined", row.pk)).status_code == 404
    ada.client().post(ada.url("quarantine-chosen"), {"chosen": [row.pk], "action": "release"})

    row.refresh_from_db()
    assert (row.state, row.hold) == (State.HELD, hold)


def test_of_a_tenant_stopped_by_the_operator_nothing_is_released(ada):
    row = quarantined(ada)
    suspend_tenant(tenant=ada.tenant, actor="root", for_abuse=True)

    for what in ("release", "allow"):
        assert "The operator stopped this mail" in act(ada, what, row).content.decode()

    row.refresh_from_db()
    assert row.state == State.HELD


def test_a_viewer_sees_the_list_and_reads_nothing(ada, ben):
    row = quarantined(ada)

    assert 'name="chosen"' not in the_page(ben, "quarantine")
    assert "Release" not in the_page(ben, "quarantined", row.pk)
    for what in ("look", "release", "allow", "delete"):
        assert act(ben, what, row).status_code == 403
    row.refresh_from_db()
    assert row.state == State.HELD


def test_an_editor_decides(ada, ben):
    is_editor(ben)
    row = quarantined(ada)

    act(ben, "release", row)

    row.refresh_from_db()
    assert row.state == State.QUEUED


def test_mallory_sees_404(ada, mallory):
    row = quarantined(ada)
    client = mallory.client()

    for name in ("look", "release", "allow", "delete"):
        for owner in (ada, mallory):
            url = owner.url(f"quarantined-{name}", row.pk)
            assert client.post(url).status_code == 404
    client.post(mallory.url("quarantine-chosen"), {"chosen": [row.pk], "action": "release"})

    row.refresh_from_db()
    assert row.state == State.HELD


def test_the_page_of_the_message_says_that_it_is_in_quarantine(ada):
    from mail.trace import format_trace_id

    row = quarantined(ada)

    text = the_page(ada, "message", format_trace_id(row.message_id))

    assert "In quarantine, for friend@far.example" in text
    assert REASON in text


def test_the_page_says_when_little_room_is_left(ada, settings):
    quarantined(ada)
    assert "put off (452)" not in the_page(ada, "quarantine")
    size = Message.objects.get().size_octets + 4096

    settings.ENV = replace(settings.ENV, held_max_octets=size)
    assert "When they are full, more that would be held is put off (452)" in the_page(
        ada, "quarantine"
    )
    settings.ENV = replace(settings.ENV, held_max_octets=2 * size)
    assert "put off (452)" not in the_page(ada, "quarantine")
