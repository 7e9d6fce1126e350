"""The audit: append-only chains, one of the platform and one in each tenant's schema.

Each digest covers the entry and the digest before it, so that an entry changed or taken out later
shows (`first_break`). Entries of one chain are written one after the other: a lock on the chain is
held until the transaction ends. Where a change goes to both chains, the tenant's comes first.

Two things are taken out of a chain in order, and leave it whole: old entries of a tenant, from the
old end (tenants/audit_cut.py), and what the platform's chain says of a tenant or a person that is
erased (`erase_from_platform`, `erase_person_from_platform`).
"""

import getpass
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Model, Q, QuerySet
from django_tenants.utils import get_public_schema_name

from tenants.context import open_schema, public_schema, require_tenant_schema
from tenants.models import AuditEntryBase, PlatformAuditEntry
from tenants.schema_models import tenant_audit

START: Final = "0" * 64
CUT: Final = "audit.cut"
ERASED: Final = "tenant.deleted"
ERASED_PERSON: Final = "account.deleted"
SALT_OCTETS: Final = 16
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
        entry = PlatformAuditEntry(tenant_slug=tenant_slug, salt=secrets.token_hex(SALT_OCTETS))
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
        entry.at = lock_chain(chain)
        entry.action, entry.subject = what[0][: _LIMITS["action"]], what[1][: _LIMITS["subject"]]
        entry.actor, entry.actor_id = actor.name[: _LIMITS["actor"]], actor.user_id
        # As the database gives it back: the digest covers that form.
        entry.client_ip = entry._meta.get_field("client_ip").to_python(actor.client_ip)
        entry.old, entry.new = values
        # A statement of its own: it must see what the holder of the lock before us committed.
        last = type(entry)._base_manager.order_by("-id").values_list("digest", flat=True).first()
        if isinstance(entry, PlatformAuditEntry):
            entry.content_digest = content_digest_of(entry)
        entry.digest = digest_of(entry, last or START)
        entry.save(force_insert=True)


def lock_chain(chain: str) -> datetime:
    """Wait for the chain; gives the database's time at which we got it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.audit.{chain}"]
        )
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def digest_of(entry: Model, previous: str) -> str:
    """The digest that the entry must have after the one with digest `previous`."""
    row: Any = entry
    if hasattr(row, "content_digest"):
        return _digest([previous, _time(row), row.action, row.content_digest])
    # The empty text stands where entries of the platform once had their tenant.
    return _digest(
        [previous, _time(row), *_who(row), row.action, row.subject, "", row.old, row.new]
    )


def content_digest_of(entry: Model) -> str:
    """The digest of what may be erased of an entry of the platform."""
    row: Any = entry
    return _digest([row.salt, *_who(row), row.tenant_slug, *_what(row)])


def _time(row: Any) -> str:
    at: datetime = row.at
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _who(row: Any) -> tuple[Any, ...]:
    return (row.actor_id, row.actor, row.client_ip)


def _what(row: Any) -> tuple[Any, ...]:
    return (row.subject, row.old, row.new)


def _digest(covered: list[Any]) -> str:
    text = json.dumps(covered, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def anchor_of(model: type[AuditEntryBase]) -> str:
    """The digest before the first entry that is still there: START where none was ever cut off."""
    cut = model._base_manager.filter(action=CUT).order_by("-id").values_list("new", flat=True)
    said = cut.first()
    return str(said["anchor"]) if isinstance(said, dict) and "anchor" in said else START


@dataclass(frozen=True, slots=True)
class ChainSeen:
    """What a look at a chain found, and how far it came."""

    broken: int | None
    """The id of the first entry that does not follow from those before it."""
    looked_at: int
    last: int
    """The id of the last entry looked at."""
    is_all: bool


def look_at_chain(
    model: type[AuditEntryBase], *, after: AuditEntryBase | None = None, seconds: float
) -> ChainSeen:
    """Follow a tenant's chain from its start, or from an entry on, for so many seconds at most."""
    previous = anchor_of(model) if after is None else after.digest
    entries = model._base_manager.filter(pk__gt=after.pk if after else 0).order_by("id")
    ends_at, count, last = time.monotonic() + seconds, 0, after.pk if after else 0
    for entry in entries.iterator(chunk_size=500):
        if entry.digest != digest_of(entry, previous):
            return ChainSeen(entry.pk, count, last, is_all=False)
        previous, last, count = entry.digest, entry.pk, count + 1
        if time.monotonic() > ends_at:
            return ChainSeen(None, count, last, is_all=not entries.filter(pk__gt=last).exists())
    return ChainSeen(None, count, last, is_all=True)


def first_break(model: type[AuditEntryBase], *, anchor: str | None = None) -> int | None:
    """The id of the first entry that does not follow from those before it; None: all is whole.

    `anchor` is the digest before the first entry, where it is not what the chain itself says.
    """
    if anchor is not None:
        return _first_break(model, anchor)
    start = anchor_of(model)
    broken = _first_break(model, start)
    if broken is not None and (moved := anchor_of(model)) != start:
        return _first_break(model, moved)  # it was cut while we read
    return broken


def _first_break(model: type[AuditEntryBase], previous: str) -> int | None:
    erased = _Erased()
    for entry in model._base_manager.order_by("id").iterator(chunk_size=500):
        if entry.digest != digest_of(entry, previous) or not erased.is_in_order(entry):
            return int(entry.pk)
        previous = entry.digest
    return erased.without_tombstone()


class _Erased:
    """Follows entries of the platform whose content is gone: a tombstone must come after them."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}

    def is_in_order(self, entry: AuditEntryBase) -> bool:
        """Whether the content is what was written, or is gone in the one way it may."""
        if not isinstance(entry, PlatformAuditEntry):
            return True
        if entry.salt:
            if entry.action in (ERASED, ERASED_PERSON):
                self.first.pop(entry.subject, None)
            return entry.content_digest == content_digest_of(entry)
        self.first.setdefault(entry.tenant_slug, entry.pk)
        nothing = (None, "", None, "", None, None)
        return (*_who(entry), *_what(entry)) == nothing

    def without_tombstone(self) -> int | None:
        return min(self.first.values(), default=None)


def erase_from_platform(*, tenant_slug: str, pseudonym: str) -> int:
    """Take what the platform's chain says of a tenant out of it; gives the number of entries.

    Only for the role that owns the tables, in the transaction that writes the tombstone: an entry
    of action `ERASED` whose subject is the pseudonym.
    """
    entries = PlatformAuditEntry._base_manager.filter(tenant_slug=tenant_slug)
    return _erase(entries, pseudonym)


def erase_person_from_platform(*, user_id: int, address: str, pseudonym: str) -> int:
    """The same for a person: what he did, and what names him by this or an earlier address.

    The tombstone is an entry of action `ERASED_PERSON`. Gives the number of entries.
    """
    all_entries = PlatformAuditEntry._base_manager
    of_him = Q(actor_id=user_id) | Q(actor=address) | Q(subject=address) | Q(new__owner=address)
    with public_schema():
        moves = all_entries.filter(action="account.address", actor_id=user_id)
        for pk, old in moves.values_list("pk", "old"):
            if isinstance(old, dict) and old.get("email"):  # later it may be somebody else's
                was = old["email"]
                of_him |= Q(pk__lt=pk) & (Q(actor=was) | Q(subject=was) | Q(new__owner=was))
    return _erase(all_entries.filter(of_him), pseudonym)


def _erase(entries: "QuerySet[PlatformAuditEntry]", pseudonym: str) -> int:
    with public_schema():
        return entries.update(
            actor_id=None,
            actor="",
            client_ip=None,
            subject="",
            old=None,
            new=None,
            tenant_slug=pseudonym,
            salt="",
        )
