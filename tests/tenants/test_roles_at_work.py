"""Each process does its part in its own database role: the grants suffice for it."""

from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connection, transaction

from routing.selectors import domain_snapshot
from routing.services import add_domain, add_route
from tenants.keys import ensure_service_keys, forget_signing_keys, signing_keys
from tenants.models import ClaimedDomain, PlatformAuditEntry
from tenants.proof import ProofCheck, ProofSeen
from tenants.services.claims import lease_due_claims, record_check

pytestmark = pytest.mark.django_db


@contextmanager
def working_as(role: str):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {role}")
        yield
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE mxax_owner")


def test_the_edge_reads_a_snapshot_and_the_keys(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@destination.example")
    ensure_service_keys()
    forget_signing_keys()

    with working_as("mxax_edge"):
        assert domain_snapshot("example.org").routes.match("hi").route.destinations
        assert len(signing_keys("forward")) == 2
    forget_signing_keys()


def test_the_worker_follows_proofs(ada):
    ada.has_domain("example.org", verified=False)

    with working_as("mxax_worker"):
        (claim,) = lease_due_claims(10)
        found = ProofCheck(ProofSeen.FOUND, "found")
        record_check(claim_id=claim.pk, token=claim.token, check=found, actor="test")

    assert ClaimedDomain.objects.get().state == "verified"


def test_the_panel_adds_domains_and_routes(ada):
    with working_as("mxax_web"):
        add_domain(tenant=ada.tenant, name="example.org", actor="test")
        add_route(
            tenant=ada.tenant, address="hi@example.org", destinations=["a@x.example"], actor="test"
        )

    assert ClaimedDomain.objects.get().name == "example.org"


@pytest.mark.parametrize("role", ["mxax_web", "mxax_worker", "mxax_edge", "mxax_support"])
@pytest.mark.parametrize("change", ["update", "delete"])
def test_nobody_at_work_changes_the_audit(ada, role, change):
    entries = PlatformAuditEntry.objects.all()

    with pytest.raises(DatabaseError, match="permission denied"), working_as(role):
        entries.update(subject="x") if change == "update" else entries._raw_delete("default")
