"""The daily mail about quarantine, and its links: who gets it, what it tells, what they do."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import timedelta
from email import policy as mail_policy

import pytest
from django.test import Client
from django.utils import timezone

from delivery import housekeeping, quarantine_digest
from delivery.kept_content import FailedContent
from delivery.models import Delivery, Message, QuarantineDigest
from delivery.quarantine_digest import send_digests
from delivery.quarantine_links import LinkAction, decision_link
from mail.facts import LogLevel
from mail.plan import Hold
from routing.models import TrustPreference
from tenants.context import tenant_schema
from tenants.models import Membership, Tenant
from tenants.services import suspend_tenant
from tests.delivery.log_words import the_log_writer_runs
from tests.panel.markup import faults
from tests.panel.quarantine.test_quarantine_pages import audit, quarantined, quiet_bell

__all__ = ["quiet_bell"]
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:No directory at")]
State = Delivery.State


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(quarantine_digest, "SETTLED", timedelta(0))


def digests() -> list[email.message.EmailMessage]:
    """What was queued for owners, oldest first."""
    found = []
    for one in Message.objects.filter(direction="notice").order_by("id"):
        octets = b"".join(FailedContent(one.tenant_id, one.id, one.chunk_count, True).octets())
        found.append(email.message_from_bytes(octets, policy=mail_policy.default))
    return found


def text_of(message) -> str:
    return message.get_content()


def links(text: str) -> dict[str, str]:
    """Paths by action, of the first message in the digest."""
    found: dict[str, str] = {}
    for path, action in re.findall(r"https?://[^/\s]+(/held/(release|delete)/\S+/)", text):
        found.setdefault(action, path)
    return found


def a_day_later() -> None:
    QuarantineDigest.objects.update(sent_at=timezone.now() - timedelta(days=1, seconds=1))


@pytest.fixture
def held(ada) -> Delivery:
    row = quarantined(ada, log_level=LogLevel.HEADERS)
    the_log_writer_runs()
    return row


@pytest.fixture
def paths(held) -> dict[str, str]:
    send_digests()
    return links(text_of(digests()[0]))


@pytest.fixture
def strict() -> Client:
    """A browser as it is: forms need their token."""
    return Client(enforce_csrf_checks=True)


def press(client: Client, path: str):
    """Open a page and press its button."""
    form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(path).content.decode())
    assert form is not None
    return client.post(path, {"csrfmiddlewaretoken": form[1]})


def test_the_owner_is_told_who_wrote_to_whom_and_why_it_is_held(ada, held):
    assert send_digests() == 1

    (digest,) = digests()
    text = text_of(digest)
    assert digest["To"] == "ada@ada.example"
    assert digest["Subject"] == "Held in quarantine: 1 message"
    assert digest["Auto-Submitted"] == "auto-generated"
    flat = " ".join(text.split())
    for said in ("carol@author.example", "hi@ada.example", "“Tea”", "DMARC fails", "Kept until"):
        assert said in flat, said
    assert "clock" not in text
    assert set(links(text)) == {"release", "delete"}
    notice = Message.objects.get(direction="notice")
    assert (notice.reverse_path, notice.outgoing_path) == ("", "")


@pytest.mark.parametrize("level", [LogLevel.NOTHING, LogLevel.COUNTS, LogLevel.HASHED])
def test_it_tells_no_more_than_the_log_keeps(ada, level):
    quarantined(ada, log_level=level)
    the_log_writer_runs()

    send_digests()

    text = text_of(digests()[0])
    assert "an author who is not logged" in " ".join(text.split())
    for secret in ("carol", "hi@ada.example", "Tea"):
        assert secret not in text


def test_strangers_write_no_link_and_no_line_into_it(ada):
    subject = "Pay https://evil.example/ or www.evil.example\r\nhttps://evil.example/held/"
    quarantined(ada, log_level=LogLevel.HEADERS, subject=subject)
    the_log_writer_runs()

    send_digests()

    text = text_of(digests()[0])
    assert "https://evil" not in text
    assert "www.evil" not in text


def test_nothing_is_told_twice_nor_twice_a_day(ada, held):
    send_digests()
    send_digests()
    assert len(digests()) == 1

    quarantined(ada)
    send_digests()
    assert len(digests()) == 1, "the day is not over"

    a_day_later()
    send_digests()
    assert len(digests()) == 2
    assert "Held in quarantine: 1 message" in digests()[1]["Subject"]

    a_day_later()
    assert send_digests() == 0


def test_what_came_in_the_last_minute_waits_and_costs_no_turn(ada, held, monkeypatch):
    monkeypatch.setattr(quarantine_digest, "SETTLED", timedelta(minutes=1))
    assert send_digests() == 0
    assert not QuarantineDigest.objects.exists()

    monkeypatch.setattr(quarantine_digest, "SETTLED", timedelta(0))
    assert send_digests() == 1


def test_many_are_listed_shortly(ada):
    for _ in range(23):
        quarantined(ada)

    send_digests()

    text = text_of(digests()[0])
    assert digests()[0]["Subject"] == "Held in quarantine: 23 messages"
    assert "And 3 more." in text
    assert len(re.findall("/held/release/", text)) == 20


def test_whoever_does_not_want_it_gets_none(ada, held):
    with tenant_schema(ada.tenant.pk):
        TrustPreference.objects.create(sends_digest=False)

    assert send_digests() == 0
    assert digests() == []


def test_a_stopped_tenant_gets_none(ada, held):
    suspend_tenant(tenant=ada.tenant, actor="root", for_abuse=True)

    assert send_digests() == 0


def test_each_tenant_hears_of_his_own_mail(ada, mallory, held):
    quarantined(mallory, recipient="m@mallory.example")

    assert send_digests() == 2

    by_owner = {one["To"]: text_of(one) for one in digests()}
    assert "m@mallory.example" in by_owner["mallory@mallory.example"]
    assert "m@mallory.example" not in by_owner["ada@ada.example"]


def test_members_who_are_no_owners_get_none(ada, ben, held):
    send_digests()

    assert [one["To"] for one in digests()] == ["ada@ada.example"]


def test_a_second_factor_leaves_out_the_links(ada, held):
    Tenant.objects.filter(pk=ada.tenant.pk).update(requires_second_factor=True)

    send_digests()

    text = text_of(digests()[0])
    assert links(text) == {}
    assert "/t/ada/quarantine/" in text


def test_housekeeping_sends_it(ada, held, monkeypatch):
    monkeypatch.setattr(housekeeping, "_alone", lambda name, work: work())

    housekeeping.tell_of_quarantine()

    assert len(digests()) == 1


# The links


def test_opening_a_link_changes_nothing(client, paths, held):
    for path in paths.values():
        for ask in (client.get, client.head):
            for _ in range(3):
                assert ask(path).status_code == 200

    held.refresh_from_db()
    assert (held.state, held.hold) == (State.HELD, Hold.QUARANTINE)
    page = client.get(paths["release"])
    text = page.content.decode()
    assert faults(text) == []
    assert "carol@author.example" in text
    assert "clock" not in text
    assert "no-store" in page["Cache-Control"]
    assert page["Referrer-Policy"] == "same-origin"


def test_the_button_releases_once_and_the_audit_says_who(strict, ada, paths, held):
    answer = press(strict, paths["release"])

    assert (answer.status_code, answer["Location"]) == (303, "/held/released/")
    assert "on its way" in strict.get(answer["Location"]).content.decode()
    held.refresh_from_db()
    assert held.state == State.QUEUED
    assert audit(ada)[-1] == "quarantine.released"

    Delivery.objects.filter(pk=held.pk).update(attempts=3)
    for path in paths.values():
        assert "decided already" in strict.get(path).content.decode()
    held.refresh_from_db()
    assert (held.state, held.attempts) == (State.QUEUED, 3)


def test_a_second_press_does_nothing(client, paths, held):
    client.post(paths["delete"])
    again = client.post(paths["release"])

    assert not Delivery.objects.filter(pk=held.pk).exists()
    assert "decided already" in again.content.decode()


def test_a_form_from_elsewhere_decides_nothing(strict, paths, held):
    for path in paths.values():
        assert strict.post(path).status_code == 403

    held.refresh_from_db()
    assert held.state == State.HELD


def test_a_link_ends_with_the_hold(client, paths, held):
    Delivery.objects.filter(pk=held.pk).update(held_until=timezone.now() - timedelta(seconds=1))

    answer = client.post(paths["release"])

    assert "decided already" in answer.content.decode()
    held.refresh_from_db()
    assert held.state == State.HELD


def test_a_link_that_was_tampered_with_is_none(client, ada, mallory, paths, held):
    hers = quarantined(mallory)
    token = paths["release"].split("/")[3]
    tenant, user, delivery, secret = token.split("-")
    other = "a" if secret[0] != "a" else "b"
    guesses = [
        f"{mallory.tenant.pk}-{user}-{delivery}-{secret}",
        f"{tenant}-{mallory.user.pk}-{delivery}-{secret}",
        f"{tenant}-{user}-{hers.pk}-{secret}",
        f"{tenant}-{user}-{delivery}-{other}{secret[1:]}",
        "nonsense",
    ]
    wrong = [f"/held/release/{guess}/" for guess in guesses]
    wrong.append(paths["release"].replace("release", "delete"))

    bodies = {client.get(path).content for path in wrong}
    for path in wrong:
        assert client.get(path).status_code == 404
        assert client.post(path).status_code == 404

    assert len(bodies) == 1
    assert {State.HELD} == set(
        Delivery.objects.filter(pk__in=[held.pk, hers.pk]).values_list("state", flat=True)
    )


@pytest.mark.parametrize("change", ["viewer", "gone", "asleep", "second factor"])
def test_whoever_may_not_decide_any_more_has_a_dead_link(client, ada, ben, paths, held, change):
    member = Membership.objects.filter(user=ada.user)
    if change == "viewer":
        member.update(role=Membership.Role.VIEWER)
    elif change == "gone":
        member.delete()
    elif change == "asleep":
        type(ada.user).objects.filter(pk=ada.user.pk).update(is_active=False)
    else:
        Tenant.objects.filter(pk=ada.tenant.pk).update(requires_second_factor=True)

    assert client.post(paths["release"]).status_code == 404

    held.refresh_from_db()
    assert held.state == State.HELD


def test_of_a_stopped_tenant_a_link_releases_nothing(client, ada, paths, held):
    suspend_tenant(tenant=ada.tenant, actor="root", for_abuse=True)

    answer = client.post(paths["release"])

    assert answer.status_code == 409
    held.refresh_from_db()
    assert held.state == State.HELD


def test_a_link_is_for_what_is_in_quarantine_only(client, ada, held):
    Delivery.objects.update(hold=Hold.OPERATOR)
    link = decision_link(
        LinkAction.RELEASE, tenant_id=ada.tenant.pk, user_id=ada.user.pk, delivery_id=held.pk
    )

    client.post("/held/" + link.split("/held/")[1])

    held.refresh_from_db()
    assert held.state == State.HELD


def test_it_says_when_little_room_is_left(ada, held, settings):
    octets = held.message.size_octets + 4096
    settings.ENV = replace(settings.ENV, held_max_octets=octets + 1)

    send_digests()

    text = " ".join(text_of(digests()[0]).split())
    assert "Held mail takes 99 % of the room that it may" in text
