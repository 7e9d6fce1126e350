"""The audit: append-only chains, one of the platform and one in each tenant's schema.

Each digest covers the entry and the digest before it, so that an entry changed or taken out later
shows (`first_break`). Entries of one chain are written one after the other: a lock on the chain is
held until the transaction ends. Where a change goes to both chains, the tenant's comes first.
"""

import getpass
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django_tenants.utils import get_public_schema_name

from tenants.context import open_schema, public_schema, require_tenant_schema
from tenants.models import AuditEntryBase, PlatformAuditEntry
from tenants.schema_models import tenant_audit

START: Final = "0" * 64
_LIMITS: Final = {"actor": 254, "action": 60, "subject": 320}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user, a command of an operator, or the service itself."""

    name: str
    user_id: int | None = None
    client_ip: str | None = None


THE_SERVICE: Final = Actor("mxax")


def operator_at_command_line(command: str) -> Actor:
    """The operator who typed a command: the account's name is all that is known of him."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        account = "operator"
    return Actor(f"{account}: manage.py {command}")


def record_platform(
    action: str,
    subject: str,
    *,
    actor: Actor | str,
    tenant_slug: str = "",
    old: Any = None,
    new: Any = None,
) -> None:
    """Write an entry to the platform's chain, in the current transaction."""
    with public_schema():
        entry = PlatformAuditEntry(tenant_slug=tenant_slug)
        _append(entry, get_public_schema_name(), (action, subject), actor, (old, new))


def record_in_tenant(
    action: str, subject: str, *, actor: Actor | str, old: Any = None, new: Any = None
) -> None:
    """Write an entry to the chain of the tenant that is open, in the current transaction."""
    require_tenant_schema()
    _append(tenant_audit()(), open_schema(), (action, subject), actor, (old, new))


def _append(
    entry: AuditEntryBase,
    chain: str,
    what: tuple[str, str],
    actor: Actor | str,
    values: tuple[Any, Any],
) -> None:
    actor = Actor(actor) if isinstance(actor, str) else actor
    with transaction.atomic():
        entry.at = _lock(chain)
        entry.action, entry.subject = what[0][: _LIMITS["action"]], what[1][: _LIMITS["subject"]]
        entry.actor, entry.actor_id = actor.name[: _LIMITS["actor"]], actor.user_id
        # As the database gives it back: the digest covers that form.
        entry.client_ip = entry._meta.get_field("client_ip").to_python(actor.client_ip)
        entry.old, entry.new = values
        # A statement of its own: it must see what the holder of the lock before us committed.
        last = type(entry)._base_manager.order_by("-id").values_list("digest", flat=True).first()
        entry.digest = digest_of(entry, last or START)
        entry.save(force_insert=True)


def _lock(chain: str) -> datetime:
    """Wait for the chain; gives the database's time at which we got it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.audit.{chain}"]
        )
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def digest_of(entry: AuditEntryBase, previous: str) -> str:
    """The digest that the entry must have after the one with digest `previous`."""
    covered = [
        previous,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        *(entry.actor_id, entry.actor, entry.client_ip),
        *(entry.action, entry.subject, getattr(entry, "tenant_slug", "")),
        *(entry.old, entry.new),
    ]
    text = json.dumps(covered, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def first_break(model: type[AuditEntryBase], *, anchor: str = START) -> int | None:
    """The id of the first entry that does not follow from those before it; None: all is whole.

    `anchor` is the digest before the first entry that is still there, when old ones were cut off.
    """
    previous = anchor
    for entry in model._base_manager.order_by("id").iterator(chunk_size=500):
        if entry.digest != digest_of(entry, previous):
            return int(entry.pk)
        previous = entry.digest
    return None
