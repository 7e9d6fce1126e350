"""Reads of whom a tenant trusts: the policy in a domain's snapshot, and that of the dry run."""

from django.conf import settings
from django.db.models import BigIntegerField, CharField, DateTimeField, F, Q, QuerySet, Value
from django.db.models.functions import Now

from mail.policy.trust import ListEntry, ListKind, TrustPolicy
from routing.models import TrustedSealer, TrustEntry, TrustPreference

_SEALER = "seal"


def preference_here() -> TrustPreference:
    """The open tenant's choice; the defaults where nothing is written yet."""
    return TrustPreference.objects.first() or TrustPreference()


def trust_policy_of(name: str) -> TrustPolicy:
    """What holds for one domain (A-label) at this moment. Two queries.

    Entries that are over, or for other domains, are left out; those with an end have it in them.
    """
    of_domain = Q(domain=None, route=None) | Q(domain__name=name) | Q(route__domain__name=name)
    return _policy(TrustEntry.objects.filter(of_domain), preference_here())


def trust_policy_here(preference: TrustPreference | None = None) -> TrustPolicy:
    """That of the open tenant with the entries of all domains, for the dry run."""
    return _policy(TrustEntry.objects.all(), preference or preference_here())


def sealers_of_the_operator() -> tuple[str, ...]:
    """Whose seals all tenants believe."""
    return tuple(settings.ENV.trusted_sealers)


def _policy(entries: QuerySet[TrustEntry], preference: TrustPreference) -> TrustPolicy:
    sealers = list(sealers_of_the_operator())
    listed: list[ListEntry] = []
    for entry_id, kind, subject, domain, route_id, expires_at in _rows(entries):
        if kind == _SEALER:
            sealers.append(subject)
            continue
        listed.append(
            ListEntry(entry_id, ListKind(kind), subject, domain or "", route_id, expires_at)
        )
    chosen = preference.policy()
    return TrustPolicy(
        refuses_dmarc_reject=chosen.refuses_dmarc_reject,
        on_dmarc_quarantine=chosen.on_dmarc_quarantine,
        trusted_sealers=tuple(dict.fromkeys(sealers)),
        entries=tuple(listed),
        greylists=chosen.greylists,
        scanning=chosen.scanning,
        quarantine_days=chosen.quarantine_days,
    )


def _rows(entries: QuerySet[TrustEntry]) -> QuerySet[TrustEntry, tuple]:
    """Entries in force and sealers in one query: a snapshot is read for each domain."""
    in_force = (
        entries.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
        .order_by()
        .values_list("id", "kind", "subject", F("domain__name"), "route_id", "expires_at")
    )
    sealers = TrustedSealer.objects.order_by().values_list(
        "id",
        Value(_SEALER, output_field=CharField()),
        "name",
        Value(None, output_field=CharField()),
        Value(None, output_field=BigIntegerField()),
        Value(None, output_field=DateTimeField()),
    )
    return in_force.union(sealers, all=True)
