"""Every page of both admin sites: it answers, and there is nothing in it that needs a script."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from delivery.messagelog.models import LoggedEvent, LoggedMessage
from delivery.models import (
    Delivery,
    Message,
    RetentionRun,
    ServiceEvent,
    ServicePulse,
    WorkerHeartbeat,
)
from mail.trace import format_trace_id
from ops.admin import shared_site, tenant_site
from routing import models as routing
from routing.domain_facts import facts_of
from routing.records.report import report_of, to_json
from routing.records.values import Answer, Outcome, Seen
from routing.records.wanted import questions_of
from routing.services import remove_route
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.models import (
    ClaimedDomain,
    DomainCheck,
    Invitation,
    PlatformAuditEntry,
    ServiceKey,
    Tenant,
    User,
)
from tenants.models import SupportGrant as PastGrant
from tests.ops.conftest import SCRIPT, queued
from tests.panel.estate import HOSTILE
from tests.panel.markup import faults

pytestmark = pytest.mark.django_db

_numbers = count(1)
MOST_OCTETS = 100_000
"""Lists of staff have more columns than the panel's, and a box to pick each of fifty rows."""
ONLY_POST = {"logout", "end_access"}
REDIRECTS = {"login", "mail"}
"""Signed in already; and mail without an address is the log."""


def fill(ada) -> dict[str, str]:
    """One row at least of every model; gives what URLs take."""
    ada.has_domain("ada.example")
    ada.has_route("hi@ada.example", "friend@far.example")
    User.objects.filter(email=ada.email).update(name=HOSTILE)
    Tenant.objects.filter(pk=ada.tenant.pk).update(name=HOSTILE)
    delivery = queued(ada.tenant)
    ServiceKey.objects.create(
        purpose="forward", algorithm="rsa", selector="s1", sealed_private=b"x", public="p"
    )
    now = database_now()
    PastGrant.objects.create(
        tenant=ada.tenant,
        staff=User.objects.create_user("pat@service.example", is_staff=True),
        reason="long ago",
        starts_at=now - timedelta(days=2),
        ends_at=now - timedelta(days=2, minutes=-5),
    )
    WorkerHeartbeat.objects.create(name="w1", at=now)
    ServicePulse.objects.create(
        minute=now, accepts=True, sends=False, queue_age_seconds=3, latency=[0, 4], seen={}
    )
    RetentionRun.objects.create(tenant_id=ada.tenant.pk, finished_at=now, removed=17)
    Invitation.objects.create(
        tenant=ada.tenant,
        email="carl@carl.example",
        role="editor",
        digest=b"x",
        invited_by=ada.email,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )
    ServiceEvent.objects.create(
        id=1,
        message_id=delivery.message_id,
        kind="refused",
        at=now,
        recipient="a@b.example",
        data={},
    )
    ada.has_route("gone@ada.example", "other@far.example", confirmed=False)
    remove_route(tenant=ada.tenant, address="gone@ada.example", actor="test")
    looked_at("ada.example")
    with tenant_schema(ada.tenant.pk):
        domain = routing.Domain.objects.get()
        routing.Domain.objects.update(note=HOSTILE)
        routing.Route.objects.update(note=HOSTILE)
        routing.DkimKey.objects.create(
            domain=domain, algorithm="rsa", selector="k1", sealed_private=b"x", public="p"
        )
        routing.SmtpCredential.objects.create(
            username="ada.x", salt=b"x", iterations=1, stored_key=b"x", server_key=b"x"
        )
        routing.ApiToken.objects.create(locator="x", digest=b"x", label="token")
        routing.Webhook.objects.create(url="https://hook.example/", sealed_secret=b"x")
        routing.Suppression.objects.create(address="gone@far.example", reason="550")
        routing.TrustPreference.objects.create()
        routing.TrustEntry.objects.create(kind="block", subject=".spam.example", note=HOSTILE)
        routing.TrustedSealer.objects.create(name="lists.example", note=HOSTILE)
        log_message(delivery.message_id, now)
        in_trash = routing.Route.with_trash.get(pattern="gone").pk
    return {
        "slug": "ada",
        "trace_id": format_trace_id(delivery.message_id),
        "in_trash": f"routing/route/{in_trash}/delete/",
    }


def looked_at(name: str) -> None:
    """A look at the domain's records by a server that knows of none."""
    claim = ClaimedDomain.objects.get(name=name)
    answer = Answer(Outcome.FOUND, ("v=spf1 -all", HOSTILE))
    facts = facts_of(claim)
    seen = {question: Seen((answer,), answer) for question in questions_of(facts)}
    DomainCheck.objects.update_or_create(
        claim=claim,
        defaults={
            "checked_at": database_now(),
            "works": False,
            "report": to_json(report_of(facts, seen)),
        },
    )


def log_message(trace_id, at) -> None:
    LoggedMessage.objects.create(
        trace_id=trace_id,
        at=at,
        state="deferred",
        direction="forward",
        recipient="hi@ada.example",
        subject=HOSTILE,
        changed_at=at,
    )
    LoggedEvent.objects.create(
        id=next(_numbers),
        trace_id=trace_id,
        kind="accepted",
        at=at,
        data={},
        recipient="hi@ada.example",
    )


def addresses(site, values):
    """Every address of a site, with the rows that are there; (name, path)."""
    for pattern in site.get_urls():
        yield from _under(pattern, "", site, values)


def _under(pattern, prefix, site, values):
    if isinstance(pattern, URLResolver):
        for inner in pattern.url_patterns:
            yield from _under(inner, prefix + str(pattern.pattern), site, values)
        return
    assert isinstance(pattern, URLPattern)
    route = prefix + str(pattern.pattern)
    if "object_id" in route and pattern.name:
        for key in _keys(pattern.name, site):
            yield pattern.name, route.replace("<path:object_id>", str(key))
    elif pattern.name == "app_list":
        for label in {model._meta.app_label for model in site._registry}:
            yield pattern.name, f"{label}/"
    elif pattern.name is not None:
        for name, value in values.items():
            route = route.replace(f"<slug:{name}>", value).replace(f"<str:{name}>", value)
        yield pattern.name, route


def _keys(name, site):
    for model in site._registry:
        if name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            found = list(model._base_manager.values_list("pk", flat=True)[:2])
            assert found, f"no row to look at {model}"
            return found
    raise AssertionError(name)


def _readable(site, name, path):
    """Addresses that answer 200 to GET, by what the model's page says it allows."""
    for model, model_admin in site._registry.items():
        stem = f"{model._meta.app_label}_{model._meta.model_name}_"
        if name == f"{stem}add":
            return getattr(model_admin, "add_form", None) is not None
        if name == f"{stem}delete":
            return getattr(model_admin, "removable", False)
    if site is tenant_site and name.startswith("password_change"):
        return False  # one's password is changed on the shared site
    return name not in ONLY_POST | REDIRECTS and "<path:object_id>/change" not in path


@pytest.mark.parametrize("site", [shared_site, tenant_site], ids=lambda site: site.name)
def test_every_page_answers_and_has_no_script(site, sam, ada):
    values = fill(ada)
    sam.signs_in().opens(ada.tenant)
    prefix = "/admin/" if site is shared_site else "/admin/t/ada/"
    with tenant_schema(ada.tenant.pk):
        found = sorted(set(addresses(site, values)))
    assert len(found) > 30

    wrong = {}
    for name, path in found:
        response = sam.browser.get(prefix + path)
        page = response.content.decode()
        if _readable(site, name, path) and path != values["in_trash"]:
            assert response.status_code in (200, 302), (path, response.status_code)
            assert response.status_code == 200 or path.count("/") == 3, path
        else:
            assert response.status_code in (302, 403, 404, 405), (path, response.status_code)
        assert not SCRIPT.search(page), (path, SCRIPT.search(page))
        assert "\u202e" not in page, path  # text that turns round what follows
        assert "script-src 'none'" in response["Content-Security-Policy"], path
        assert "no-store" in response["Cache-Control"], path
        if response.status_code == 200 and faults(page, most_octets=MOST_OCTETS):
            wrong[path] = faults(page, most_octets=MOST_OCTETS)
    assert wrong == {}


@pytest.mark.parametrize("site", [shared_site, tenant_site], ids=lambda site: site.name)
def test_nobody_else_sees_any_page(site, sam, ada, ben, client):
    values = fill(ada)
    prefix = "/admin/" if site is shared_site else "/admin/t/ada/"
    with tenant_schema(ada.tenant.pk):
        found = sorted(set(addresses(site, values)))
    member = User.objects.get(email=ben.email)
    for visitor in (None, member, sam.user):  # Sam without his second factor
        if visitor is not None:
            client.force_login(visitor)
        for name, path in found:
            response = client.get(prefix + path)
            if name == "login":
                continue
            assert response.status_code in (302, 403, 404, 405), (visitor, path)
            if response.status_code == 302:
                assert response["Location"].startswith(("/admin/login/", "/admin/?", "/admin/")), (
                    path
                )


def test_without_a_grant_every_page_of_a_tenant_asks_for_one(sam, ada, mallory):
    values = fill(ada)
    sam.signs_in().opens(mallory.tenant)
    with tenant_schema(ada.tenant.pk):
        found = sorted(set(addresses(tenant_site, values)))

    for _, path in found:
        response = sam.browser.get("/admin/t/ada/" + path)

        assert response.status_code == 302
        assert response["Location"].startswith("/admin/grant/ada/?next="), path


@pytest.mark.parametrize(
    "path",
    [
        "/admin/delivery/delivery/",
        "/admin/delivery/message/",
        "/admin/tenants/tenant/",
        "/admin/tenants/user/",
        "/admin/tenants/claimeddomain/",
        "/admin/tenants/membership/",
        "/admin/tenants/invitation/",
        "/admin/tenants/supportgrant/",
        "/admin/t/ada/delivery/delivery/",
        "/admin/t/ada/routing/route/",
        "/admin/t/ada/routing/destination/",
        "/admin/t/ada/routing/dkimkey/",
        "/admin/t/ada/messagelog/loggedmessage/",
    ],
)
def test_a_longer_list_asks_no_more_questions(path, sam, ada, mallory):
    fill(ada)
    sam.signs_in().opens(ada.tenant)
    sam.sees(path)
    with CaptureQueriesContext(connection) as few:
        sam.sees(path)

    for number in range(3):
        person = ada
        person.has_domain(f"more{number}.example")
        person.has_route(f"a{number}@ada.example", f"b{number}@far.example")
        delivery = queued(ada.tenant)
        with tenant_schema(ada.tenant.pk):
            log_message(delivery.message_id, database_now())
            routing.DkimKey.objects.create(
                domain=routing.Domain.objects.get(name=f"more{number}.example"),
                algorithm="rsa",
                selector="k1",
                sealed_private=b"x",
                public="p",
            )
    sam.opens(mallory.tenant)
    with CaptureQueriesContext(connection) as many:
        sam.sees(path)

    assert len(many) <= len(few) + 1, [query["sql"][:90] for query in many]


def test_every_model_is_registered_somewhere():
    """A model added later is seen by support, or left out here with a reason."""
    from django.apps import apps

    registered = {*shared_site._registry, *tenant_site._registry}
    left_out = {
        "AttemptTally": "digests; the page of a person says what he has to wait for",
        "Content": "the octets of mail are nobody's to read",
        "OpaquePath": "sealed reverse-paths",
        "DeliveryEvent": "read as the story of a message",
        "RefusalTally": "composite key; told with mail to an address",
        "TenantUsage": "composite key",
        "Hostname": "one row that django-tenants wants",
        "DataKeyProof": "one row",
        "SealedSecret": "secrets of the installation",
        "ContactedAddress": "digests of addresses that were asked to confirm",
        "NoticeTally": "counts of our own notices",
        "DomainCheck": "shown with its domain",
        "LoggedName": "the index that the log is searched by",
        "RecoveryCode": "digests; the page of a person says how many are left",
        "RouteDay": "composite key; added up on the page of its route",
        "RouteDestination": "shown with its route",
        "RouteFailure": "counted on the page of its route",
        "Greylisting": "digests; whose first mail was put off",
        "QuarantineDigest": "when a tenant was last told of his quarantine",
        "SharedCount": "digests; what clients did in the last minutes",
        "WebSession": "its keys let in; counted on the page of its person",
    }
    ours = {"tenants", "routing", "delivery", "messagelog"}
    for model in apps.get_models():
        if model._meta.app_label in ours and model not in registered:
            assert model.__name__ in left_out, model
    assert PlatformAuditEntry in registered
    assert Message in registered
    assert Delivery in registered
    assert resolve("/admin/").func
    assert get_resolver("ops.tenant_urls")
