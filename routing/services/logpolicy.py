"""What a tenant lets us write down, for how long; his own, and what domains have of their own.

The edges carry the level in their snapshots, so they are told in the same transaction. What is
written already is not touched here: retention removes what the new days do not keep.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction

from mail.facts import LogLevel
from routing.models import Domain, LogPolicy
from tenants.audit import Actor, record_in_tenant
from tenants.changes import routes_changed
from tenants.context import tenant_schema
from tenants.errors import PolicyRefused, UnknownName
from tenants.models import Tenant

MOST_DAYS: Final = 3650
SHORTEST_AUDIT_DAYS: Final = 90
_FOR_ALL: Final = "the tenant"


@dataclass(frozen=True, slots=True)
class Keeping:
    """One policy's values. Days of 0: never written. `audit_days` counts for the tenant only."""

    level: LogLevel
    message_days: int
    refused_days: int
    attempt_days: int
    content_days: int
    audit_days: int = LogPolicy._meta.get_field("audit_days").default

    @classmethod
    def of(cls, policy: LogPolicy) -> "Keeping":
        return cls(
            LogLevel(policy.level),
            policy.message_days,
            policy.refused_days,
            policy.attempt_days,
            policy.content_days,
            policy.audit_days,
        )


def set_policy(*, tenant: Tenant, keeping: Keeping, actor: Actor, domain: str = "") -> LogPolicy:
    """Save the tenant's policy, or that of one of his domains (A-label).

    Raises `PolicyRefused` for values that cannot be; `UnknownName` for a domain he does not have.
    """
    with transaction.atomic(), tenant_schema(tenant.pk):
        policy = _locked(domain) or LogPolicy(domain=_domain(domain) if domain else None)
        old = _said(policy) if policy.pk else None
        for name, value in asdict(keeping).items():
            setattr(policy, name, value)
        _save_checked(policy)
        new = _said(policy)
        if old != new:
            subject = domain or _FOR_ALL
            record_in_tenant("log_policy.changed", subject, actor=actor, old=old, new=new)
            _tell_edges(domain)
    return policy


def remove_policy(*, tenant: Tenant, domain: str, actor: Actor) -> None:
    """Let a domain follow the tenant's policy again. Raises `UnknownName`."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        policy = _locked(domain) if domain else None
        if policy is None:
            raise UnknownName(f"{domain} has no logging preferences of its own.")
        old = _said(policy)
        policy.delete()
        record_in_tenant("log_policy.removed", domain, actor=actor, old=old)
        _tell_edges(domain)


def _locked(domain: str) -> LogPolicy | None:
    rows = LogPolicy.objects.select_for_update(of=("self",))
    return (rows.filter(domain__name=domain) if domain else rows.filter(domain=None)).first()


def _domain(name: str) -> Domain:
    domain = Domain.objects.filter(name=name).first()
    if domain is None:
        raise UnknownName(f"There is no domain {name} here.")
    return domain


def _save_checked(policy: LogPolicy) -> None:
    days = (policy.message_days, policy.refused_days, policy.attempt_days, policy.content_days)
    if any(not 0 <= one <= MOST_DAYS for one in days) or policy.audit_days > MOST_DAYS:
        raise PolicyRefused(f"Days are whole numbers from 0 to {MOST_DAYS}.")
    if policy.audit_days < SHORTEST_AUDIT_DAYS:
        raise PolicyRefused(f"The audit is kept for {SHORTEST_AUDIT_DAYS} days at least.")
    if policy.level == LogLevel.CONTENT and not policy.content_days:
        raise PolicyRefused("Say for how many days content is kept, or choose a level without it.")
    try:
        policy.full_clean()
    except ValidationError as error:
        raise PolicyRefused(" ".join(error.messages)) from None
    policy.save()


def _said(policy: LogPolicy) -> dict[str, Any]:
    """For the audit: the level as people read it."""
    values: dict[str, Any] = asdict(Keeping.of(policy))
    if policy.domain_id is not None:
        del values["audit_days"]
    return values | {"level": policy.get_level_display()}


def _tell_edges(domain: str) -> None:
    """The tenant's own policy is in the snapshot of every domain without one."""
    names = [domain] if domain else Domain.objects.values_list("name", flat=True)
    for name in names:
        routes_changed(name)
