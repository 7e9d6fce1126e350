"""`manage.py reencrypt`: seal everything under the first data key; mail keeps flowing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from django.core.management.base import CommandParser

from delivery.content import content_context
from ops.console import OneLineCommand
from routing.sealed import TENANT_COLUMNS
from tenants.context import public_schema, tenant_schema
from tenants.models import Tenant
from tenants.otp import seal_context as totp_context
from tenants.reencryption import SHARED_COLUMNS, SealedColumn, reencrypt, remaining, renew_proof

# Pieces are up to 256 KiB: few at once.
CONTENT = SealedColumn(
    table="public.delivery_content",
    column="octets",
    key=("message_id", "number"),
    bound_to=("tenant_id", "message_id", "number"),
    context=content_context,
    page=20,
)
TOTP = SealedColumn(
    table="public.otp_totp_totpdevice",
    column="key",
    key=("id",),
    bound_to=("user_id",),
    context=totp_context,
    is_base64=True,
)
Place = tuple[AbstractContextManager[None], SealedColumn]


class Command(OneLineCommand):
    help = (
        "Seals stored secrets and mail under the first key of MXAX_DATA_KEY. Put the new key "
        "before the old one, restart every process, run this, then take the old key away and "
        "restart again. May be stopped and started again at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        total = sum(self._one(*place, options["dry_run"]) for place in _places())
        if options["dry_run"]:
            self.stdout.write(f"{total} values are under another key than the first.")
        else:
            renew_proof()
            self.stdout.write(f"{total} values sealed again: the first key opens everything.")

    def _one(
        self, schema: AbstractContextManager[None], column: SealedColumn, dry_run: bool
    ) -> int:
        with schema:
            count = remaining(column) if dry_run else reencrypt(column)
        if count:
            self.stdout.write(f"  {column.table:<28} {count}")
            self.stdout.flush()
        return count


def _places() -> Iterator[Place]:
    """Every column with the schema it is in; what is written most often comes last."""
    for column in (*SHARED_COLUMNS, TOTP):
        yield public_schema(), column
    with public_schema():
        ids = list(Tenant.objects.exclude(schema_name="public").values_list("pk", flat=True))
    for tenant_id in ids:
        for column in TENANT_COLUMNS:
            yield tenant_schema(tenant_id), column
    yield public_schema(), CONTENT
