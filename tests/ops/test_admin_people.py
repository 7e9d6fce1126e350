"""What support sees of people and destinations, and may do to them: with a reason, in the audit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from delivery.models import Message
from routing.models import AuditEntry, Destination, Route
from routing.services import remove_route
from tenants.contacts import take_turn
from tenants.context import tenant_schema
from tenants.limits import Kind, account_wait_seconds, count_attempt
from tenants.models import (
    Invitation,
    Membership,
    PlatformAuditEntry,
    RecoveryCode,
    SupportGrant,
    User,
    WebSession,
)
from tenants.otp import device_of
from tenants.services.factors import enrol
from tests.ops.conftest import queued

pytestmark = pytest.mark.django_db
REASON = "Ticket 4711: lost his phone"


@pytest.fixture
def web_process(transactional_db):
    """From now on the connection is one of a web process: its role is the one it connects in."""
    options = connection.settings_dict["OPTIONS"]
    before = options["assume_role"]

    def begins() -> None:
        options["assume_role"] = "mxax_web"
        connection.close()

    yield begins
    options["assume_role"] = before
    connection.close()


def page_of(person) -> str:
    return f"/admin/tenants/user/{person.user.pk}/"


def last_of_platform() -> PlatformAuditEntry:
    entry = PlatformAuditEntry.objects.last()
    assert entry is not None
    return entry


def wrong_passwords(email: str, attempts: int = 12) -> None:
    for number in range(attempts):
        count_attempt(Kind.SIGN_IN, client_ip=f"203.0.{number}.7", account=email)


def test_a_person_without_a_tenant_is_found(sam):
    stray = User.objects.create_user("stray@away.example", "correct horse battery")

    found = sam.signs_in().sees("/admin/find/?q=STRAY@away.example")

    assert "stray@away.example is a member of no tenant" in found
    assert f"/admin/tenants/user/{stray.pk}/change/" in found


def test_an_invitation_is_found_and_says_how_it_stands(sam, ada):
    now = timezone.now()
    Invitation.objects.create(
        tenant=ada.tenant,
        email="carl@carl.example",
        role="editor",
        digest=b"digest of the link",
        invited_by=ada.email,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )

    found = sam.signs_in().sees("/admin/find/?q=carl@carl.example")
    listed = sam.sees("/admin/tenants/invitation/")

    assert "carl@carl.example was invited into ada as editor; it is open" in found
    assert '<span class="badge warn">open</span>' in listed
    assert "digest" not in listed


def test_an_address_that_was_asked_is_found_without_saying_by_whom(sam, ada):
    take_turn("friend@far.example")

    found = sam.signs_in().sees("/admin/find/?q=friend@far.example")

    assert "friend@far.example was asked 1 of 3 times" in found
    assert "/admin/t/ada/" not in found


def test_a_result_says_whether_a_reason_is_asked_for(sam, ada):
    ada.has_domain("ada.example")
    sam.signs_in()
    assert "asks for a reason" in sam.sees("/admin/find/?q=hi@ada.example")

    sam.opens(ada.tenant)

    assert "asks for a reason" not in sam.sees("/admin/find/?q=hi@ada.example")


def test_support_signs_a_person_out_everywhere(web_process, sam, ada):
    browser = ada.client()
    sam.signs_in()
    web_process()
    assert "in 1 browser" in sam.sees(f"{page_of(ada)}change/")

    done = sam.sends(f"{page_of(ada)}sign-out/", reason=REASON)

    assert done.status_code == 303
    assert browser.get("/account/").status_code in (302, 303)
    connection.settings_dict["OPTIONS"]["assume_role"] = "mxax_owner"
    connection.close()
    assert not WebSession.objects.filter(user=ada.user).exists()
    entry = last_of_platform()
    assert (entry.action, entry.subject, entry.actor) == (
        "support.signed_out",
        ada.email,
        sam.user.email,
    )
    assert entry.new == {"reason": REASON, "sessions": 1}


def test_support_removes_a_second_factor_and_the_person_is_told(web_process, sam, ada):
    enrol(user=ada.user, actor="test")
    RecoveryCode.objects.create(user=ada.user, digest=b"x", created_at=timezone.now())
    sam.signs_in()
    web_process()
    assert "1 recovery code left" in sam.sees(f"{page_of(ada)}change/")

    unsaid = sam.sends(f"{page_of(ada)}remove-factor/", reason="   ")
    assert "<title>Error:" in unsaid.content.decode()
    done = sam.sends(f"{page_of(ada)}remove-factor/", reason=REASON)

    assert done.status_code == 303
    assert "has no second factor any more" in sam.sees(f"{page_of(ada)}change/")
    connection.settings_dict["OPTIONS"]["assume_role"] = "mxax_owner"
    connection.close()
    assert device_of(ada.user) is None
    assert not RecoveryCode.objects.exists()
    assert Message.objects.filter(tenant_id=None, direction="notice").count() == 1
    assert last_of_platform().new == {"reason": REASON}


def test_the_factor_of_staff_is_not_removed_here(sam):
    refused = sam.signs_in().sends(
        f"/admin/tenants/user/{sam.user.pk}/remove-factor/", reason=REASON
    )

    assert "manage.py staff otp" in refused.content.decode()
    assert device_of(sam.user) is not None


def test_who_waits_for_too_many_attempts_is_let_try_again(web_process, sam, ada):
    wrong_passwords(ada.email)
    sam.signs_in()
    web_process()
    assert "signing in: not for" in sam.sees(f"{page_of(ada)}change/")

    done = sam.sends(f"{page_of(ada)}let-try/", reason=REASON)

    assert done.status_code == 303
    assert "signing in: not for" not in sam.sees(f"{page_of(ada)}change/")
    assert count_attempt(Kind.SIGN_IN, client_ip="198.51.100.9", account=ada.email).allowed
    assert last_of_platform().new["waited_seconds"]["signing in"] > 0


def test_looking_at_an_account_counts_nothing(sam, ada):
    wrong_passwords(ada.email, attempts=9)
    for _ in range(5):
        assert account_wait_seconds(Kind.SIGN_IN, account=ada.email) == 0

    assert count_attempt(Kind.SIGN_IN, client_ip="198.51.100.9", account=ada.email).allowed
    assert account_wait_seconds(Kind.SIGN_IN, account=ada.email) > 0


def test_a_page_of_deeds_shows_itself_and_changes_nothing(sam, ada):
    enrol(user=ada.user, actor="test")
    sam.signs_in()
    before = PlatformAuditEntry.objects.count()

    for deed in ("sign-out", "remove-factor", "let-try"):
        assert ada.email in sam.sees(f"{page_of(ada)}{deed}/")

    assert device_of(ada.user) is not None
    assert PlatformAuditEntry.objects.count() == before
    assert Membership.objects.filter(user=ada.user).exists()


def test_an_owner_of_a_destination_is_asked_again(web_process, sam, ada):
    ada.has_domain("ada.example")
    ada.has_route("hi@ada.example", "friend@far.example", confirmed=False)
    with tenant_schema(ada.tenant.pk):
        pk = Destination.objects.get().pk
    sam.signs_in().opens(ada.tenant)
    web_process()
    place = "/admin/t/ada/routing/destination/"
    page = sam.sees(f"{place}{pk}/change/")
    assert "asked, waits for an answer" in page
    assert "1 of 3, over all tenants" in page

    sam.sends(place, action="ask", index="0", _selected_action=pk)

    assert "no confirmation mail was sent" in sam.sees(place)  # he was asked a moment ago
    connection.settings_dict["OPTIONS"]["assume_role"] = "mxax_owner"
    connection.close()
    with tenant_schema(ada.tenant.pk):
        entry = AuditEntry.objects.last()
    assert (entry.action, entry.actor, entry.new) == (
        "destination.asked",
        sam.user.email,
        {"result": "NOT_NOW"},
    )


def test_a_route_says_why_it_takes_no_mail(sam, ada):
    ada.has_domain("ada.example")
    ada.has_route("hi@ada.example", "friend@far.example")
    with tenant_schema(ada.tenant.pk):
        pk = Route.objects.get().pk
        Route.objects.update(mode="refuse", paused_because="failures")
    sam.signs_in().opens(ada.tenant)
    page = f"/admin/t/ada/routing/route/{pk}/change/"

    assert "We paused it after 12 permanent failures" in sam.sees(page)
    with tenant_schema(ada.tenant.pk):
        Route.objects.update(expires_at=timezone.now() - timedelta(days=1))

    assert "Its end is over" in sam.sees(page)


def test_a_removed_route_is_seen_in_the_trash_and_restored(sam, ada):
    ada.has_domain("ada.example")
    ada.has_route("hi@ada.example", "friend@far.example")
    remove_route(tenant=ada.tenant, address="hi@ada.example", actor="test")
    with tenant_schema(ada.tenant.pk):
        pk = Route.with_trash.get().pk
    place = "/admin/t/ada/routing/route/"
    sam.signs_in().opens(ada.tenant)

    assert "hi@ada.example" not in sam.sees(place)
    assert "hi@ada.example" in sam.sees(f"{place}?trash=only")
    assert sam.sends(f"{place}{pk}/change/", mode="refuse").status_code == 403
    assert f'action="{place}?trash=too"' in sam.sees(f"{place}{pk}/change/")
    sam.sends(f"{place}?trash=too", action="restore", index="0", _selected_action=pk)

    assert "hi@ada.example" in sam.sees(place)


def test_a_story_says_what_the_tenant_reads(sam, ada):
    from mail.trace import format_trace_id

    row = queued(ada.tenant)
    sam.signs_in().opens(ada.tenant)

    page = sam.sees(f"/admin/t/ada/mail/{format_trace_id(row.message_id)}/")

    assert "What the tenant reads" in page
    assert "Waits for friend@far.example: tried once, next try" in page


def test_a_grant_of_somebody_else_can_be_ended(sam, ada):
    pat = User.objects.create_user("pat@service.example", is_staff=True)
    from ops.grants import open_grant

    grant = open_grant(tenant=ada.tenant, staff=pat, reason="Ticket 1", actor="pat")
    sam.signs_in()
    place = "/admin/tenants/supportgrant/"
    assert '<span class="badge warn">open</span>' in sam.sees(place)

    sam.sends(place, action="end", index="0", _selected_action=grant.pk)

    assert SupportGrant.objects.get(pk=grant.pk).revoked_at is not None
    assert "ended early" in sam.sees(place)
    with tenant_schema(ada.tenant.pk):
        entry = AuditEntry.objects.last()
    assert (entry.action, entry.actor) == ("support.ended", sam.user.email)


def test_an_open_tenant_says_for_how_long(sam, ada):
    sam.signs_in().opens(ada.tenant)

    page = sam.sees("/admin/t/ada/")

    assert "is open to you for 60 more minutes" in page
    assert "Deliveries accepted today" in page
