"""Whom a tenant trusts: his choice of policy, the allow and block lists, the trusted sealers.

All of it is in the snapshots of the tenant's domains, so the edges are told in the same
transaction. Lists are bounded: each entry travels in snapshots and is asked for each message.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction

from mail.address import canonical_domain
from mail.errors import BadAddress
from mail.policy.trust import (
    RSPAMD_LIMITS,
    SPAMD_LIMITS,
    ListKind,
    OnQuarantine,
    OnScannerAway,
)
from mail.policy.trust_lists import canonical_subject
from routing.models import Domain, Route, TrustedSealer, TrustEntry, TrustPreference
from tenants.audit import Actor, record_in_tenant
from tenants.changes import routes_changed
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.errors import NameTaken, PolicyRefused, UnknownName
from tenants.models import Tenant
from tenants.names import one_line

MOST_ENTRIES: Final = 1000
MOST_SEALERS: Final = 50
SCORING_SCANNERS: Final = {"rspamd": "rspamd", "spamd": "SpamAssassin"}
"""Those that give scores, with the names that people know them by."""
_SUBJECT: Final = "trust"


@dataclass(frozen=True, slots=True)
class TrustChoice:
    """All that a tenant chooses; a score of None: never."""

    refuses_dmarc_reject: bool = True
    on_dmarc_quarantine: OnQuarantine = OnQuarantine.FORWARD
    greylists: bool = False
    rspamd_add_fields_from: float | None = RSPAMD_LIMITS.add_fields_from
    rspamd_quarantine_from: float | None = RSPAMD_LIMITS.quarantine_from
    rspamd_refuse_from: float | None = RSPAMD_LIMITS.refuse_from
    spamd_add_fields_from: float | None = SPAMD_LIMITS.add_fields_from
    spamd_quarantine_from: float | None = SPAMD_LIMITS.quarantine_from
    spamd_refuse_from: float | None = SPAMD_LIMITS.refuse_from
    refuses_viruses: bool = True
    when_scanner_away: OnScannerAway = OnScannerAway.ACCEPT
    quarantine_days: int = 14
    sends_digest: bool = True

    @classmethod
    def of(cls, preference: TrustPreference) -> "TrustChoice":
        values = {name: getattr(preference, name) for name in cls.__slots__}
        values["on_dmarc_quarantine"] = OnQuarantine(preference.on_dmarc_quarantine)
        values["when_scanner_away"] = OnScannerAway(preference.when_scanner_away)
        return cls(**values)

    def put_into(self, preference: TrustPreference) -> TrustPreference:
        """The row with these values, not saved."""
        for name, value in _plain(self).items():
            setattr(preference, name, value)
        return preference


@dataclass(frozen=True, slots=True)
class EntryWanted:
    """One line of a list. Of all the tenant's mail, or of one domain, or of one route."""

    kind: ListKind
    subject: str
    domain: str = ""
    route_id: int | None = None
    expires_at: datetime | None = None
    note: str = ""


def set_preference(*, tenant: Tenant, choice: TrustChoice, actor: Actor) -> TrustPreference:
    """Save what the tenant chose. Raises `PolicyRefused` for values that cannot be."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        preference = _locked()
        old, new = _plain(TrustChoice.of(preference)), _plain(choice)
        choice.put_into(preference)
        _check(choice)
        _save_checked(preference)
        if old != new:
            changed = {name for name in new if new[name] != old[name]}
            record_in_tenant(
                "trust.changed",
                _SUBJECT,
                actor=actor,
                old={name: old[name] for name in sorted(changed)},
                new={name: new[name] for name in sorted(changed)},
            )
            _tell_edges()
    return preference


def add_entry(*, tenant: Tenant, wanted: EntryWanted, actor: Actor) -> TrustEntry:
    """Put somebody on a list. One that is there already is renewed: its end and note are new.

    Raises `PolicyRefused` where the subject cannot be one, the end is over or the list is full;
    `UnknownName` for a domain or route that is not the tenant's.
    """
    subject, note = _subject(wanted.subject), one_line(wanted.note, "note")
    with transaction.atomic(), tenant_schema(tenant.pk):
        _locked()
        if wanted.expires_at is not None and wanted.expires_at <= database_now():
            raise PolicyRefused("The end is over already.")
        entry = _entry(wanted, subject)
        old = None if entry.pk is None else _said(entry)
        if old is None:
            _make_room()
            entry.created_by = actor.name
        entry.expires_at, entry.note = wanted.expires_at, note
        new = _said(entry)
        if old != new:
            _save_checked(entry)
            action = f"trust.{wanted.kind.value}ed"
            record_in_tenant(action, subject, actor=actor, old=old, new=new)
            _tell_edges(entry)
    return entry


def remove_entry(*, tenant: Tenant, entry_id: int, actor: Actor) -> TrustEntry:
    """Take somebody off a list. Raises `UnknownName`."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        _locked()
        entry = TrustEntry.objects.select_related("domain", "route").filter(pk=entry_id).first()
        if entry is None:
            raise UnknownName("There is no such entry on your lists.")
        old = _said(entry)
        entry.delete()
        record_in_tenant("trust.entry_removed", entry.subject, actor=actor, old=old)
        _tell_edges(entry)
    return entry


def add_sealer(*, tenant: Tenant, name: str, actor: Actor, note: str = "") -> TrustedSealer:
    """Believe the seals of a domain. Raises `PolicyRefused`, `NameTaken`."""
    try:
        domain = canonical_domain(name.strip().removeprefix("@"))
    except BadAddress:
        raise PolicyRefused("A sealer is a domain, such as lists.example.") from None
    note = one_line(note, "note")
    with transaction.atomic(), tenant_schema(tenant.pk):
        _locked()
        if TrustedSealer.objects.filter(name=domain).exists():
            raise NameTaken(f"{domain} is trusted already.")
        if TrustedSealer.objects.count() >= MOST_SEALERS:
            raise PolicyRefused(f"At most {MOST_SEALERS} sealers: remove one first.")
        sealer = TrustedSealer(name=domain, note=note, created_by=actor.name)
        _save_checked(sealer)
        record_in_tenant("trust.sealer_added", domain, actor=actor, new={"note": note})
        _tell_edges()
    return sealer


def remove_sealer(*, tenant: Tenant, sealer_id: int, actor: Actor) -> TrustedSealer:
    """Believe them no more. Raises `UnknownName`."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        _locked()
        sealer = TrustedSealer.objects.filter(pk=sealer_id).first()
        if sealer is None:
            raise UnknownName("There is no such sealer.")
        sealer.delete()
        old = {"note": sealer.note}
        record_in_tenant("trust.sealer_removed", sealer.name, actor=actor, old=old)
        _tell_edges()
    return sealer


def _locked() -> TrustPreference:
    """The tenant's row, held until the end: changes of trust come one after the other."""
    TrustPreference.objects.bulk_create([TrustPreference(pk=1)], ignore_conflicts=True)
    return TrustPreference.objects.select_for_update().get()


def _subject(text: str) -> str:
    try:
        return canonical_subject(text)
    except BadAddress as error:
        raise PolicyRefused(
            "Write an address, a domain (with a dot before it for all below it, too) or a "
            f"network such as 192.0.2.0/24: {error}."
        ) from None


def _entry(wanted: EntryWanted, subject: str) -> TrustEntry:
    """The entry that is there, else a new one of this scope."""
    domain = route = None
    if wanted.route_id is not None:
        route = Route.objects.filter(pk=wanted.route_id).select_related("domain").first()
        if route is None:
            raise UnknownName("There is no such route here.")
    elif wanted.domain:
        domain = Domain.objects.filter(name=wanted.domain).first()
        if domain is None:
            raise UnknownName(f"There is no domain {wanted.domain} here.")
    scope = {"kind": wanted.kind.value, "subject": subject, "domain": domain, "route": route}
    return TrustEntry.objects.filter(**scope).first() or TrustEntry(**scope)


def _make_room() -> None:
    """What is over goes first; nobody misses it."""
    if TrustEntry.objects.count() < MOST_ENTRIES:
        return
    TrustEntry.objects.filter(expires_at__lte=database_now()).delete()
    if TrustEntry.objects.count() >= MOST_ENTRIES:
        raise PolicyRefused(f"Your lists hold {MOST_ENTRIES} entries at most: remove some first.")


def _check(choice: TrustChoice) -> None:
    for scanner in SCORING_SCANNERS:
        said, hold, refuse = (
            getattr(choice, f"{scanner}_{name}")
            for name in ("add_fields_from", "quarantine_from", "refuse_from")
        )
        if any(one is not None and not isfinite(one) for one in (said, hold, refuse)):
            raise PolicyRefused("A score is a number.")
        if hold is not None and refuse is not None and hold >= refuse:
            raise PolicyRefused("Mail is held from a lower score on than it is refused from.")


def _save_checked(row: TrustPreference | TrustEntry | TrustedSealer) -> None:
    try:
        row.full_clean(validate_constraints=False)
    except ValidationError as error:
        raise PolicyRefused(" ".join(error.messages)) from None
    row.save()


def _plain(choice: TrustChoice) -> dict[str, Any]:
    values = asdict(choice)
    values["on_dmarc_quarantine"] = choice.on_dmarc_quarantine.value
    values["when_scanner_away"] = choice.when_scanner_away.value
    return values


def _said(entry: TrustEntry) -> dict[str, Any]:
    """For the audit."""
    return {
        "list": entry.kind,
        "domain": entry.domain.name if entry.domain else "",
        "route": str(entry.route) if entry.route else "",
        "until": entry.expires_at.isoformat() if entry.expires_at else "",
        "note": entry.note,
    }


def _tell_edges(entry: TrustEntry | None = None) -> None:
    """Every domain of the tenant has the choice in its snapshot, and most entries."""
    one = (entry.route.domain if entry.route else entry.domain) if entry else None
    names = [one.name] if one else Domain.objects.values_list("name", flat=True)
    for name in names:
        routes_changed(name)
