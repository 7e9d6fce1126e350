"""No field that a person fills in can hold a line end: not one of them becomes a header or log line."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from mail.errors import MailError
from ops.staff import create_staff
from routing.services import add_domain, create_credential
from tenants.errors import TenancyError
from tenants.services import create_tenant, suspend_tenant
from tests.ops.conftest import sam

__all__ = ["sam"]

pytestmark = pytest.mark.django_db

LINE_ENDS = {
    "CR": "\r",
    "LF": "\n",
    "CRLF": "\r\nBcc: x@y.example",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "NEL": "\x85",
    "NUL": "\0",
}
REFUSALS = (TenancyError, MailError, ValidationError)


def fields(person, bad: str) -> dict:
    """Each way in, by the name of its field."""
    tenant = person.tenant
    return {
        "slug": lambda: create_tenant(slug=f"x{bad}y", owner_email="o@x.example", actor="t"),
        "tenant name": lambda: create_tenant(
            slug="xy", owner_email="o@x.example", actor="t", name=f"x{bad}y"
        ),
        "owner": lambda: create_tenant(slug="xy", owner_email=f"o{bad}@x.example", actor="t"),
        "owner's domain": lambda: create_tenant(
            slug="xy", owner_email=f"o@x.example{bad}x", actor="t"
        ),
        "domain": lambda: add_domain(tenant=tenant, name=f"x{bad}y.example", actor="t"),
        "credential's address": lambda: create_credential(
            tenant=tenant, actor="t", address=f"hi{bad}@ada.example"
        ),
        "credential's domain": lambda: create_credential(
            tenant=tenant, actor="t", domain=f"ada{bad}x.example"
        ),
        "reason": lambda: suspend_tenant(
            tenant=tenant, actor="t", for_abuse=False, reason=f"x{bad}y"
        ),
        "staff": lambda: create_staff(email=f"s{bad}@x.example", actor="t"),
    }


@pytest.mark.parametrize("bad", LINE_ENDS.values(), ids=LINE_ENDS)
def test_a_line_end_in_any_field_is_refused(ada, bad):
    ada.has_domain("ada.example")
    taken = []

    for name, fill_in in fields(ada, bad).items():
        try:
            fill_in()
        except REFUSALS:
            continue
        taken.append(name)

    assert taken == []


@pytest.mark.parametrize("bad", LINE_ENDS.values(), ids=LINE_ENDS)
def test_a_reason_for_a_grant_is_one_line(sam, ada, bad):
    from tenants.models import SupportGrant

    sam.signs_in()

    response = sam.sends("/admin/grant/ada/", reason=f"Ticket{bad}4711", minutes="15", next="")

    reasons = list(SupportGrant.objects.values_list("reason", flat=True))
    assert response.status_code < 500
    assert all(one.isprintable() for one in reasons)
