"""What somebody sends who wants a page to break: long cells, made-up keys, numbers out of range."""

import base64
import json
from functools import partial
from urllib.parse import urlencode

import pytest
from django.test import Client

from tenants.models import Invitation, Membership, User
from tests.cast import PASSWORD
from tests.timing import within_cpu

pytestmark = pytest.mark.django_db


def test_a_cell_of_open_quotes_is_read_in_no_time():
    from routing.route_csv import separate

    for tail in ("", "\\", '"\\'):
        cell = '"' + 'a\\"' * 40_000 + tail
        within_cpu(partial(separate, cell), seconds=0.3)


def test_a_domain_full_of_patterns_with_stars_is_compared_in_no_time():
    from mail.routes import conflicts, parse_pattern

    letters = "abcdefghijklmno"
    patterns = [
        parse_pattern(f"*{'a' * 28}*{'a' * 28}*{one}{two}") for one in letters for two in letters
    ]

    def compared() -> None:
        for number, pattern in enumerate(patterns[:200]):
            assert not conflicts(pattern, patterns[:number])

    within_cpu(compared, seconds=2)


@pytest.mark.parametrize("slug", ["ADA", "Ada", "1ada", "_", "a" * 60])
def test_an_address_that_no_tenant_can_have_is_404_for_everybody(ada, slug):
    for client in (Client(), ada.client()):
        for rest in ("", "people/", "routes/new/"):
            assert client.get(f"/t/{slug}/{rest}").status_code == 404
            assert client.post(f"/t/{slug}/{rest}", {"name": "x"}).status_code == 404


def _key(*values):
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize("value", ["abc", "\x00", "\ud800", 10**30, -1, True, "2026-99-99"])
def test_a_key_that_somebody_made_up_gives_a_page(ada, value):
    client = ada.client()
    lists: tuple[tuple[str, dict[str, str], int], ...] = (
        ("domains", {}, 1),
        ("routes", {}, 3),
        ("routes", {"state": "trash"}, 2),
        ("queue", {}, 2),
        ("queue", {"show": "held"}, 1),
        ("queue", {"show": "failed"}, 2),
        ("audit", {}, 1),
        ("logging", {}, 1),
    )
    for name, more, length in lists:
        for side in ("after", "before"):
            asked = urlencode({**more, side: _key(*[value] * length)})
            assert client.get(f"{ada.url(name)}?{asked}").status_code == 200, (name, side)


TOO_LARGE = 10**30


def test_a_number_that_no_row_can_have_is_404(ada):
    client, t = ada.client(), "/t/ada"
    for path in (
        f"{t}/people/{TOO_LARGE}/role/",
        f"{t}/people/{TOO_LARGE}/remove/",
        f"{t}/routes/{TOO_LARGE}/",
        f"{t}/routes/{TOO_LARGE}/restore/",
        f"{t}/routes/destinations/{TOO_LARGE}/ask/",
        f"{t}/access/tokens/{TOO_LARGE}/revoke/",
        f"{t}/access/credentials/{TOO_LARGE}/revoke/",
        f"{t}/domains/ada.example/keys/{TOO_LARGE}/revoke/",
        f"/invited/{TOO_LARGE}/",
        f"{t}/logging/domains/%00/",
        f"{t}/logging/domains/%00/change/",
        f"{t}/logging/domains/%00/remove/",
        f"{t}/messages/%00/",
    ):
        assert client.get(path).status_code == 404, path
    for path in (
        f"{t}/people/invitations/{TOO_LARGE}/again/",
        f"{t}/people/invitations/{TOO_LARGE}/withdraw/",
        f"/account/sessions/{TOO_LARGE}/end/",
    ):
        assert client.post(path).status_code == 404, path


def test_a_guest_gives_himself_no_name_of_two_lines(ada, sent):
    token = sent("guest@guest.example")

    answer = Client().post(
        f"/invitation/{token}/",
        {"name": "Guest\u2028Bcc: x", "password": "correct horse battery staple"},
    )

    assert answer.status_code == 422
    assert not User.objects.filter(email="guest@guest.example").exists()


def test_an_account_made_by_an_invitation_stands_in_the_audit_of_the_platform(ada, sent):
    from tenants.models import PlatformAuditEntry

    token = sent("guest@guest.example")
    Client().post(
        f"/invitation/{token}/", {"name": "Guest", "password": "correct horse battery staple"}
    )

    entry = PlatformAuditEntry.objects.get(action="account.created")
    assert entry.subject == "guest@guest.example"
    assert Membership.objects.filter(user__email="guest@guest.example").exists()


@pytest.fixture
def sent(ada, monkeypatch):
    """Invites an address; gives the token of its link."""
    from tenants import invitations
    from tenants.services import invitations as services

    def invite(email):
        tokens = []

        def new_link_token():
            tokens.append(invitations.new_link_token())
            return tokens[-1]

        monkeypatch.setattr(services, "new_link_token", new_link_token)
        services.invite(tenant=ada.tenant, email=email, role=Membership.Role.VIEWER, actor="test")
        assert Invitation.objects.filter(email=email).exists()
        return tokens[-1]

    return invite


def test_a_tenant_is_not_handed_to_an_account_that_may_not_sign_in(ada, ben):
    from tenants.audit import Actor
    from tenants.errors import TenancyError
    from tenants.services.people import hand_over

    User.objects.filter(pk=ben.user.pk).update(is_active=False)

    with pytest.raises(TenancyError):
        hand_over(tenant=ada.tenant, user_id=ben.user.pk, actor=Actor(ada.email, ada.user.pk))
    assert Membership.objects.get(user=ada.user).role == Membership.Role.OWNER


def test_forms_of_people_who_are_not_signed_in_do_not_fill_the_disk(ada):
    from django.contrib.sessions.models import Session
    from django.utils import timezone

    for number in range(30):
        answer = Client().post(
            ada.url("route-add"),
            {"note": "x" * 60_000},
            HTTP_ORIGIN="http://testserver",
            REMOTE_ADDR=f"2001:db8:1:2::{number:x}",
        )
        assert answer.status_code == 303

    assert Session.objects.count() <= 10
    for session in Session.objects.all():
        assert (session.expire_date - timezone.now()).total_seconds() <= 3600


def test_a_session_that_kept_a_form_lives_as_long_as_any_other_once_signed_in(ada):
    user = ada.user
    user.set_password(PASSWORD)
    user.save()
    client = Client()
    client.post(ada.url("route-add"), {"note": "x"}, HTTP_ORIGIN="http://testserver")
    assert client.session.get_expiry_age() <= 3600

    client.post("/sign-in/", {"email": user.email, "password": PASSWORD})

    assert client.session["kept_values"]
    assert client.session.get_expiry_age() > 86400


def test_one_tenant_does_not_keep_every_thread_waiting_for_the_dns(ada, mallory):
    from routing.services.due import MOST_ASKED, AskedTooOften, take_turn
    from tenants.models import ClaimedDomain

    for number in range(MOST_ASKED + 1):
        mallory.has_domain(f"d{number}.example", verified=False)
    ada.has_domain("ada.example", verified=False)
    *first, last = ClaimedDomain.objects.filter(tenant=mallory.tenant).order_by("pk")
    for claim in first:
        take_turn(claim, is_limited=True)

    with pytest.raises(AskedTooOften, match="go on in a minute"):
        take_turn(last, is_limited=True)

    take_turn(last, is_limited=False)
    take_turn(ClaimedDomain.objects.get(name="ada.example"), is_limited=True)


def test_nobody_claims_names_without_end(ada, monkeypatch):
    from tenants.errors import NotClaimable
    from tenants.services import claims

    monkeypatch.setattr(claims, "MOST_PENDING", 2)
    for number in range(2):
        ada.has_domain(f"d{number}.example", verified=False)

    with pytest.raises(NotClaimable, match="wait for their proof"):
        ada.has_domain("d2.example", verified=False)
    ada.has_domain("d3.example", verified=True)


LONG_NAME = f"{'a' * 63}.{'b' * 63}.{'c' * 63}.example"


def test_owners_are_told_of_a_domain_with_a_very_long_name(ada):
    from routing.services.news import tell_owners
    from tenants.clock import database_now
    from tenants.models import ClaimedDomain

    ada.has_domain(LONG_NAME)
    ClaimedDomain.objects.update(proof="dns", proof_missing_since=database_now())

    assert tell_owners(ClaimedDomain.objects.get().pk)


def test_one_odd_domain_keeps_no_other_from_being_looked_at(ada, mallory, monkeypatch):
    from routing.resolver import TxtAnswer, TxtOutcome
    from routing.services import proofs
    from tenants.models import ClaimedDomain

    class Silent:
        async def look_up(self, name):
            return TxtAnswer(TxtOutcome.NO_DATA)

    mallory.has_domain("odd.example", verified=False)
    ada.has_domain("ada.example", verified=False)
    plain = proofs.record_proof

    def record_proof(claim, check, actor):
        if claim.name == "odd.example":
            raise ValueError("something that nobody thought of")
        return plain(claim, check, actor)

    monkeypatch.setattr(proofs, "record_proof", record_proof)

    assert proofs.check_due_claims(Silent()) == 2

    assert ClaimedDomain.objects.get(name="ada.example").checked_at is not None
