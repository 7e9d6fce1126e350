"""API tokens and SMTP credentials: shown once, scoped, with an end, revoked."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from routing.models import ApiToken, AuditEntry, SmtpCredential
from routing.services import create_credential
from routing.services.tokens import create_token, token_digest
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.errors import TenancyError, UnknownName
from tenants.models import Membership

pytestmark = pytest.mark.django_db


def text_of(answer: Any) -> str:
    return answer.content.decode()


def make_token(person: Any, **values: Any) -> Any:
    typed = {"label": "deploy script", "scopes": ["read", "write"], **values}
    return person.client().post(person.url("token-add"), typed, follow=True)


def tokens_of(person: Any) -> list[ApiToken]:
    with tenant_schema(person.tenant.pk):
        return list(ApiToken.objects.all())


def test_a_token_is_shown_once_and_kept_as_a_digest(ada):
    client = ada.client()
    shown = client.post(
        ada.url("token-add"), {"label": "deploy script", "scopes": ["read"]}, follow=True
    )

    token = next(word for word in text_of(shown).split("<") if "mxax_ada_" in word)
    token = token.split(">")[1]
    (row,) = tokens_of(ada)
    assert bytes(row.digest) == token_digest(token)
    assert row.locator in token
    assert token not in text_of(client.get(ada.url("access")))
    assert token not in text_of(client.get(ada.url("access-made"), follow=True))
    assert not any(token in str(value) for value in client.session.values())


def test_a_secret_is_shown_by_a_page_of_its_tenant_alone_and_used_up_by_a_get_alone(ada, mallory):
    Membership.objects.create(tenant=mallory.tenant, user=ada.user, role=Membership.Role.ADMIN)
    client = ada.client()
    client.post(ada.url("token-add"), {"label": "deploy script", "scopes": ["read"]})

    assert client.get(mallory.url("access-made")).status_code == 303
    assert client.head(ada.url("access-made")).status_code == 200

    assert "mxax_ada_" in text_of(client.get(ada.url("access-made")))
    assert client.get(ada.url("access-made")).status_code == 303


def test_a_token_without_a_scope_is_refused_at_its_field(ada):
    answer = make_token(ada, scopes=[])

    assert answer.status_code == 422
    assert 'href="#id_scopes' in text_of(answer)
    assert tokens_of(ada) == []


@pytest.mark.parametrize("label", ["two\nlines", "two\u2028lines", "nul\x00"])
def test_a_label_of_more_than_one_line_is_refused(ada, label):
    answer = make_token(ada, label=label)

    assert answer.status_code == 422
    assert tokens_of(ada) == []


@pytest.mark.parametrize("days", [-1, 3000])
def test_a_last_day_in_the_past_or_far_away_is_refused(ada, days):
    day = database_now().date() + timedelta(days=days)

    answer = make_token(ada, last_day=day.isoformat())

    assert answer.status_code == 422
    assert "within five years" in text_of(answer)


def test_a_revoked_token_is_not_in_force_and_the_audit_says_who(ada):
    make_token(ada)
    (row,) = tokens_of(ada)

    asked = ada.client().get(ada.url("token-revoke", row.pk))
    assert "cannot be undone" in text_of(asked)
    assert tokens_of(ada)[0].revoked_at is None
    ada.client().post(ada.url("token-revoke", row.pk))

    assert tokens_of(ada)[0].revoked_at is not None
    assert ada.client().get(ada.url("token-revoke", row.pk)).status_code == 404
    with tenant_schema(ada.tenant.pk):
        actions = list(AuditEntry.objects.values_list("action", "actor"))
    assert ("token.created", ada.email) in actions
    assert ("token.revoked", ada.email) in actions


def test_whoever_is_second_to_revoke_is_told_so(ada, monkeypatch):
    make_token(ada)
    (row,) = tokens_of(ada)

    def somebody_was_faster(**_: Any) -> None:
        raise UnknownName("This token is not in force any more.")

    monkeypatch.setattr("panel.access_keys.tokens.revoke_token", somebody_was_faster)
    answer = ada.client().post(ada.url("token-revoke", row.pk), follow=True)

    assert "This token is not in force any more." in text_of(answer)


def test_a_credential_is_for_a_domain_of_ones_own(ada):
    ada.has_domain("example.org")

    shown = ada.client().post(
        ada.url("credential-add"), {"label": "printer", "domain": "example.org"}, follow=True
    )

    assert "ada." in text_of(shown)
    with tenant_schema(ada.tenant.pk):
        row = SmtpCredential.objects.get()
        assert (row.label, row.domain.name) == ("printer", "example.org")


def test_a_credential_for_somebody_elses_domain_is_refused(ada, mallory):
    mallory.has_domain("mallory.example")
    for values in ({"domain": "mallory.example"}, {"address": "x@mallory.example"}):
        answer = ada.client().post(ada.url("credential-add"), {"label": "x", **values})

        assert answer.status_code == 422
    with tenant_schema(ada.tenant.pk):
        assert not SmtpCredential.objects.exists()


def test_a_viewer_sees_the_list_and_may_not_change_it(ada, ben):
    make_token(ada)
    (row,) = tokens_of(ada)

    page = ben.client().get(ben.url("access"))

    assert "deploy script" in text_of(page)
    assert "New token" not in text_of(page)
    for address in (ben.url("token-add"), ben.url("token-revoke", row.pk)):
        assert ben.client().post(address).status_code == 403


def test_mallory_sees_404(ada, mallory):
    make_token(ada)
    (row,) = tokens_of(ada)
    for address in (ada.url("access"), ada.url("token-revoke", row.pk), ada.url("token-add")):
        assert mallory.client().get(address).status_code == 404
    assert mallory.client().post(mallory.url("token-revoke", row.pk)).status_code == 404
    assert tokens_of(ada)[0].revoked_at is None


def test_making_and_revoking_asks_again_who_is_there(ada):
    answer = ada.client(recent=False).get(ada.url("token-add"))

    assert answer["Location"].startswith("/account/confirm/?next=")


def test_the_list_needs_few_queries(ada, django_assert_max_num_queries):
    for number in range(5):
        make_token(ada, label=f"token {number}")
    client = ada.client()
    with django_assert_max_num_queries(12):
        client.get(ada.url("access"))


@pytest.mark.parametrize("what", ["token", "credential"])
def test_one_too_many_is_refused(ada, monkeypatch, what):
    module = "tokens" if what == "token" else "credentials"
    monkeypatch.setattr(f"routing.services.{module}.MOST_IN_FORCE", 2)
    typed = {"label": "x", "scopes": ["read"]} if what == "token" else {"label": "x"}

    answers = [ada.client().post(ada.url(f"{what}-add"), typed) for _ in range(3)]

    assert [one.status_code for one in answers] == [303, 303, 422]
    assert "revoke one first" in text_of(answers[2])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["token", "credential"])
def test_many_at_once_do_not_pass_the_limit(ada, monkeypatch, what):
    module = "tokens" if what == "token" else "credentials"
    monkeypatch.setattr(f"routing.services.{module}.MOST_IN_FORCE", 2)
    start = threading.Barrier(6)

    def make(_number: int) -> bool:
        try:
            start.wait(30)
            if what == "token":
                create_token(tenant=ada.tenant, label="x", scopes=["read"], actor="test")
            else:
                create_credential(tenant=ada.tenant, label="x", actor="test")
        except TenancyError:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(make, range(6))) == 2
