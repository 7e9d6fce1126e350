"""Everything of one tenant as JSON, a piece at a time (docs/export.md describes the format).

Times are ISO 8601 in UTC. What is sealed or secret (keys, digests, the content of queued mail) is
left out and named in `left_out`.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import BinaryField, Model

from tenants.audit import Actor, record_in_tenant
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.models import Invitation, Membership, SupportGrant, Tenant
from tenants.schema_models import shared_models_with_rows_of_tenants, tenant_models
from tenants.selectors import claim_lines

FORMAT: Final = "mxax tenant export"
VERSION: Final = 2
DESCRIBED_IN: Final = "docs/export.md"
ROWS_AT_ONCE: Final = 500


def export_tenant(tenant: Tenant, *, actor: Actor | str) -> Iterator[str]:
    """The pieces of the JSON text, read in one snapshot of the database. The export is audited."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        record_in_tenant("tenant.exported", tenant.slug, actor=actor)
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield from _pieces(tenant)


def _pieces(tenant: Tenant) -> Iterator[str]:
    own, shared = list(tenant_models()), list(shared_models_with_rows_of_tenants())
    head = {
        "format": FORMAT,
        "version": VERSION,
        "described_in": DESCRIBED_IN,
        "exported_at": database_now(),
        "left_out": sorted(_left_out([*own, *shared])),
        "tenant": _tenant_values(tenant),
        **_shared_values(tenant),
        "domains": [_without_slots(line) for line in claim_lines(tenant)],
    }
    yield _text(head)[:-1] + ', "tables": {'
    # Row-level security shows the panel the queue of the tenant that is open, no other rows.
    with tenant_schema(tenant.pk):
        yield from _tables(own, {})
        yield '}, "queue": {'
        yield from _tables(shared, {"tenant_id": tenant.pk})
    yield "}}"


def _tables(models: list[type[Model]], only: dict[str, Any]) -> Iterator[str]:
    for number, model in enumerate(models):
        yield f"{', ' if number else ''}{_text(model._meta.db_table)}: ["
        rows = model._base_manager.filter(**only).order_by("pk").values(*_columns(model))
        for place, row in enumerate(rows.iterator(chunk_size=ROWS_AT_ONCE)):
            yield (", " if place else "") + _text(row)
        yield "]"


def _columns(model: type[Model]) -> list[str]:
    return [f.attname for f in model._meta.concrete_fields if not isinstance(f, BinaryField)]


def _left_out(models: list[type[Model]]) -> Iterator[str]:
    for model in models:
        for field in model._meta.concrete_fields:
            if isinstance(field, BinaryField):
                yield f"{model._meta.db_table}.{field.attname}"


def _tenant_values(tenant: Tenant) -> dict[str, Any]:
    names = (
        *("id", "slug", "name", "standing", "paused_by_owner", "requires_second_factor"),
        *("forward_cap", "created_at"),
    )
    return {name: getattr(tenant, name) for name in names}


def _shared_values(tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    """People, who was asked to join, and when support looked in."""
    wanted: dict[str, tuple[type[Model], tuple[str, ...]]] = {
        "members": (Membership, ("user__email", "user__name", "role", "created_at")),
        "invitations": (
            Invitation,
            (
                *("email", "role", "invited_by", "created_at", "expires_at"),
                *("accepted_at", "withdrawn_at"),
            ),
        ),
        "support_grants": (
            SupportGrant,
            ("staff__email", "reason", "starts_at", "ends_at", "revoked_at"),
        ),
    }
    with public_schema():
        return {
            name: list(model._base_manager.filter(tenant=tenant).order_by("id").values(*columns))
            for name, (model, columns) in wanted.items()
        }


def _without_slots(line: Any) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__slots__}


def _text(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
