"""The tenant as a whole: name, second factor, pausing, download, deletion."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection

from delivery.models import Delivery
from mail.plan import Hold
from mail.policy.trust import ListKind
from tenants import isolation
from tenants.audit import Actor
from tenants.export import export_tenant
from tenants.models import Membership, PlatformAuditEntry, Tenant, User
from tenants.services import suspend_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.notices.bell.ring", lambda: None)


@pytest.fixture
def as_web():
    """What follows runs in the role of the panel."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_web")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_owner")


def text_of(answer: Any) -> str:
    html: str = answer.content.decode()
    assert "<script" not in html
    return html


def flash_of(answer: Any) -> str:
    assert answer.status_code == 303, answer.content.decode()
    return " ".join(str(one) for one in get_messages(answer.wsgi_request))


def row_of(person) -> Tenant:
    return Tenant.objects.get(pk=person.tenant.pk)


def version_in(html: str) -> str:
    found = re.search(r'name="version" value="(\w+)"', html)
    assert found
    return found[1]


def test_the_name_is_changed(ada):
    client = ada.client()
    version = version_in(text_of(client.get(ada.url("tenant-name"))))

    answer = client.post(ada.url("tenant-name"), {"name": "Ada & Co", "version": version})

    assert "Ada & Co" in flash_of(answer)
    assert (row_of(ada).name, row_of(ada).slug) == ("Ada & Co", "ada")
    assert "Ada &amp; Co" in text_of(client.get(ada.url("home")))


@pytest.mark.parametrize("name", ["two\u2028lines", "x" * 121, "nul\x00"])
def test_a_name_that_cannot_be_is_refused_at_its_field(ada, name):
    client = ada.client()
    version = version_in(text_of(client.get(ada.url("tenant-name"))))

    answer = client.post(ada.url("tenant-name"), {"name": name, "version": version})

    assert answer.status_code == 422
    assert 'href="#id_name"' in text_of(answer)


def test_mail_is_paused_and_resumed_by_an_owner(ada):
    client = ada.client()
    text_of(client.get(ada.url("tenant-pause")))

    assert "paused" in flash_of(client.post(ada.url("tenant-pause"), {"reason": "holidays"}))
    assert (row_of(ada).standing, row_of(ada).paused_by_owner) == ("suspended", True)
    assert "Let it flow again" in text_of(client.get(ada.url("settings")))
    text_of(client.get(ada.url("tenant-resume")))

    assert "flows again" in flash_of(client.post(ada.url("tenant-resume")))
    assert row_of(ada).standing == "active"


@pytest.mark.parametrize("for_abuse", [True, False])
def test_what_the_operator_stopped_is_not_the_owners_to_lift(ada, for_abuse):
    client = ada.client()
    client.post(ada.url("tenant-pause"))
    suspend_tenant(tenant=ada.tenant, actor="op", for_abuse=for_abuse)  # over the owner's pause

    html = text_of(client.get(ada.url("settings")))
    assert "stopped by the operator" in html
    assert "The operator stopped this" in flash_of(client.post(ada.url("tenant-resume")))
    assert row_of(ada).standing != "active"
    assert client.post(ada.url("tenant-pause")).status_code == 422
    assert not row_of(ada).paused_by_owner


def test_a_second_factor_is_asked_for_by_an_owner_who_has_one(ada, monkeypatch):
    client = ada.client()
    assert "lock yourself out" in text_of(client.get(ada.url("tenant-second-factor")))
    assert client.post(ada.url("tenant-second-factor"), {"required": "yes"}).status_code == 409
    assert not row_of(ada).requires_second_factor

    monkeypatch.setattr("django_otp.middleware.is_verified", lambda user: True)
    assert client.post(ada.url("tenant-second-factor")).status_code == 409
    for wanted in ("yes", "no"):
        html = text_of(client.get(ada.url("tenant-second-factor")))
        assert f'name="required" value="{wanted}"' in html
        for _ in "a double click":
            flash_of(client.post(ada.url("tenant-second-factor"), {"required": wanted}))
            assert row_of(ada).requires_second_factor is (wanted == "yes")


def test_members_without_a_second_factor_are_sent_to_set_one_up(ada, ben):
    Tenant.objects.filter(pk=ada.tenant.pk).update(requires_second_factor=True)

    answer = ben.client().get(ben.url("home"))

    assert answer.status_code == 303
    assert answer["Location"].startswith("/account/second-factor/")


def test_everything_is_downloaded_in_the_role_of_the_panel(ada, as_web):
    ada.has_domain("example.org", verified=False)
    client = ada.client()
    assert "Left out" in text_of(client.get(ada.url("tenant-export")))

    answer: Any = client.post(ada.url("tenant-export"))

    assert answer["Content-Disposition"].startswith('attachment; filename="ada-')
    told = json.loads(b"".join(answer.streaming_content))
    assert (told["format"], told["version"]) == ("mxax tenant export", 2)
    assert [one["name"] for one in told["domains"]] == ["example.org"]
    assert [one["user__email"] for one in told["members"]] == [ada.email]
    tables = {name for name in isolation.TENANT_GRANTS if name != "django_migrations"}
    assert tables <= set(told["tables"])
    actions = [one["action"] for one in told["tables"]["routing_auditentry"]]
    assert actions[-1] == "tenant.exported"


def test_the_export_has_the_queue_in_the_role_of_the_panel(ada, mallory):
    from tests.tenants.test_tenants_are_made_and_erased import has_queued_message

    for person in (ada, mallory):
        has_queued_message(person.tenant.pk)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_web")

    answer: Any = ada.client().post(ada.url("tenant-export"))
    told = json.loads(b"".join(answer.streaming_content))

    assert len(told["queue"]["delivery_message"]) == 1
    assert told["queue"]["delivery_message"][0]["tenant_id"] == ada.tenant.pk
    assert told["queue"]["delivery_content"] != []


def test_the_export_tells_of_mail_that_is_held_and_of_whom_the_tenant_trusts(ada):
    from routing.services.trust import EntryWanted, add_entry, add_sealer
    from tests.tenants.test_tenants_are_made_and_erased import has_queued_message

    has_queued_message(ada.tenant.pk)
    Delivery.objects.update(
        state=Delivery.State.HELD, hold=Hold.QUARANTINE, hold_reason="DMARC fails"
    )
    wanted = EntryWanted(ListKind.BLOCK, "spam.example", note="why")
    add_entry(tenant=ada.tenant, wanted=wanted, actor=Actor("ada"))
    add_sealer(tenant=ada.tenant, name="lists.example", actor=Actor("ada"))

    told = json.loads("".join(export_tenant(ada.tenant, actor="test")))

    (held,) = told["queue"]["delivery_delivery"]
    assert (held["state"], held["hold"], held["hold_reason"]) == (2, 5, "DMARC fails")
    assert held["recipient"]
    (entry,), (sealer,) = (
        told["tables"][f"routing_{name}"] for name in ("trustentry", "trustedsealer")
    )
    assert (entry["subject"], entry["note"], sealer["name"]) == (
        "spam.example",
        "why",
        "lists.example",
    )


def test_the_tenant_is_deleted_in_the_role_of_the_panel(ada, ben, as_web):
    client, schema = ada.client(), ada.tenant.schema_name
    html = text_of(client.get(ada.url("tenant-delete")))
    assert "download everything" in html

    wrong = client.post(ada.url("tenant-delete"), {"typed": "mallory"})
    assert wrong.status_code == 422
    assert 'href="#id_typed"' in text_of(wrong)

    answer = client.post(ada.url("tenant-delete"), {"typed": "ada"})

    assert answer["Location"] == "/t/"
    assert "deleted" in flash_of(answer)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [schema])
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("mxax_web",)  # the owner's role went with the transaction
    assert "/t/ada/" not in text_of(client.get("/t/"))
    assert client.get("/t/ada/").status_code == 404
    assert ben.client().get("/t/ada/people/").status_code == 404
    assert User.objects.filter(email=ben.email).exists()


def test_a_tenant_is_made_in_the_role_of_the_panel(ada, as_web):
    answer = ada.client().post("/new-tenant/", {"slug": "second", "name": ""})

    assert answer["Location"] == "/t/second/"
    second = Tenant.objects.get(slug="second")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = %s",
            [second.schema_name],
        )
        assert cursor.fetchone() == ("mxax_owner",)
    assert ada.client().get("/t/second/").status_code == 200


def test_a_panel_with_a_login_of_its_own_says_that_the_operator_does_it(ada, monkeypatch):
    """Where `SET ROLE` is refused: nothing half done, and a sentence."""
    monkeypatch.setattr("tenants.services.powers.OWNER", "a_role_that_is_not_there")

    answer = ada.client().post("/new-tenant/", {"slug": "second", "name": ""})
    assert answer.status_code == 422
    assert "operator" in text_of(answer)
    answer = ada.client().post(ada.url("tenant-delete"), {"typed": "ada"})
    assert answer.status_code == 422
    assert "operator" in text_of(answer)
    assert Tenant.objects.filter(slug="ada").exists()


def test_deleting_downloading_and_handing_over_ask_who_one_is(ada):
    client = ada.client(recent=False)
    for name in ("tenant-delete", "tenant-export", "hand-over", "tenant-second-factor"):
        assert client.get(ada.url(name))["Location"].startswith("/account/confirm/"), name


def test_an_admin_renames_and_does_no_more(ada, ben):
    Membership.objects.filter(user=ben.user).update(role="admin")
    client = ben.client()

    assert client.get(ben.url("tenant-name")).status_code == 200
    for name in ("tenant-pause", "tenant-resume", "tenant-delete", "tenant-export"):
        assert client.post(ben.url(name)).status_code == 403, name


def test_members_are_told_of_the_deletion_by_mail_of_nobodys_tenant(ada, ben):
    from delivery.models import Delivery

    ada.client().post(ada.url("tenant-delete"), {"typed": "ada"})

    told = Delivery.objects.values_list("recipient", "tenant_id").order_by("recipient")
    assert list(told) == [(ada.email, None), (ben.email, None)]
    assert PlatformAuditEntry.objects.filter(action="tenant.deleted").exists()
