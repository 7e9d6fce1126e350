"""DKIM keys of a tenant's domains: made in pairs, used once the DNS has them, kept seven days more.

    create_keys     a new pair waits to be seen in the DNS
    follow_keys     after each look: what is seen signs from now on, the key before it is retired
    revoke_key      at once, for a key that somebody else may have

A receiver may check a signature days after it was made: a retired key's record must stay for a
while, and seven days is how long our signatures are good for.
"""

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection, transaction

from mail.signing import Algorithm, SigningKey, generate_key_pair, load_signing_key
from routing.models import DkimKey, Domain
from routing.sealed import dkim_context
from routing.services.due import look_soon
from tenants.audit import THE_SERVICE, Actor, record_in_tenant
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.errors import NotConfirmed, TenancyError, UnknownName
from tenants.models import ClaimedDomain, Tenant
from tenants.vault import vault

RETIRED_KEPT_FOR: Final = timedelta(days=7)
MOST_NAME_LENGTH: Final = 253

State = DkimKey.State
ALGORITHMS: Final = {
    DkimKey.Algorithm.RSA: Algorithm.RSA_SHA256,
    DkimKey.Algorithm.ED25519: Algorithm.ED25519_SHA256,
}
_ENDINGS: Final = {DkimKey.Algorithm.RSA: "rsa", DkimKey.Algorithm.ED25519: "ed"}
# Without look-alikes: people read selectors to each other.
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"

log = structlog.get_logger()


class KeyRefused(TenancyError):
    """The keys cannot be made now."""


def create_keys(*, tenant: Tenant, domain: str, actor: Actor | str) -> list[DkimKey]:
    """An RSA and an Ed25519 key that wait to be seen in the DNS.

    Raises `UnknownName`, and `KeyRefused` where a pair waits already.
    """
    # Seconds of arithmetic at worst: before the transaction, which holds a lock.
    pairs = {algorithm: generate_key_pair(ours) for algorithm, ours in ALGORITHMS.items()}
    with transaction.atomic(), tenant_schema(tenant.pk):
        row = _locked_domain(tenant, domain)
        if row.dkim_keys.filter(state=State.WAITING).exists():
            raise KeyRefused(
                f"Keys of {domain} wait already: publish their records, or revoke them first."
            )
        stem = _free_stem(row, database_now())
        made = [
            _save(row, algorithm, f"{stem}-{_ENDINGS[algorithm]}", pair, actor)
            for algorithm, pair in pairs.items()
        ]
        look_soon(tenant_id=tenant.pk, name=domain)
    return made


def revoke_key(
    *, tenant: Tenant, domain: str, selector: str, typed: str, actor: Actor | str
) -> None:
    """Destroy a key at once. Raises `UnknownName`; `NotConfirmed` unless the selector is typed.

    Signatures made with it fail as soon as its record is gone or its p= is empty.
    """
    with transaction.atomic(), tenant_schema(tenant.pk):
        row = _locked_domain(tenant, domain)
        key = row.dkim_keys.filter(selector=selector).first()
        if key is None:
            raise UnknownName(f"{domain} has no key {selector}.")
        if typed.strip() != selector:
            raise NotConfirmed(f"Type the selector {selector} to revoke the key.")
        old = {"state": key.state, "algorithm": key.algorithm}
        key.delete()
        record_in_tenant("dkim_key.revoked", _name(row, selector), actor=actor, old=old)


def follow_keys(*, tenant_id: int, domain: str, seen: Collection[str]) -> list[str]:
    """After a look: note which selectors were seen everywhere, switch, and remove old ones.

    Gives the selectors that sign from now on. No delay after the first sight: nobody has asked for
    the new name before, so no resolver remembers that it was not there.
    """
    with transaction.atomic(), tenant_schema(tenant_id):
        row = Domain.objects.filter(name=domain).first()
        if row is None or not row.dkim_keys.exists():
            return []
        _lock(row)
        now = database_now()
        _remove_old(row, now)
        fresh = row.dkim_keys.filter(state=State.WAITING, selector__in=seen)
        begun = [_switch_to(row, key, now) for key in fresh.order_by("created_at", "selector")]
        row.dkim_keys.filter(selector__in=seen).update(seen_at=now)
    return begun


def signing_keys_of(*, tenant_id: int, domain: str) -> tuple[SigningKey, ...]:
    """The keys that sign mail of a domain now, RSA first; loading one takes 33 ms: keep them.

    None while the domain is not proved, or proved by another tenant.
    """
    with public_schema():
        claims = ClaimedDomain.objects.filter(tenant_id=tenant_id, name=domain)
        if not claims.filter(state=ClaimedDomain.State.VERIFIED).exists():
            return ()
    with tenant_schema(tenant_id):
        active = DkimKey.objects.filter(domain__name=domain, state=State.ACTIVE)
        rows = list(active.select_related("domain").order_by("-algorithm"))
    return tuple(_load(key) for key in rows)


def _load(key: DkimKey) -> SigningKey:
    context = dkim_context(key.domain_id, key.selector)
    return load_signing_key(
        vault().unseal(bytes(key.sealed_private), context=context),
        algorithm=ALGORITHMS[DkimKey.Algorithm(key.algorithm)],
        domain=key.domain.name,
        selector=key.selector,
    )


def _locked_domain(tenant: Tenant, name: str) -> Domain:
    row = Domain.objects.filter(name=name).first()
    if row is None:
        raise UnknownName(f"{tenant.slug} has no domain {name}: add it first.")
    _lock(row)
    return row


def _lock(row: Domain) -> None:
    """One change of a domain's keys at a time; the worker may not lock the domain's row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"mxax.dkim.{row.name}"]
        )


def _free_stem(row: Domain, now: datetime) -> str:
    """`mx2026k7q3`: random, so that a selector whose key was destroyed does not come again."""
    while True:
        stem = f"mx{now.year}" + "".join(secrets.choice(_LETTERS) for _ in range(4))
        if not row.dkim_keys.filter(selector__startswith=stem).exists():
            return stem


def _save(
    row: Domain, algorithm: str, selector: str, pair: tuple[bytes, str], actor: Actor | str
) -> DkimKey:
    if len(_name(row, selector)) > MOST_NAME_LENGTH:
        raise KeyRefused(f"{row.name} is too long for the name of a DKIM record.")
    pem, public = pair
    key = DkimKey(domain=row, algorithm=algorithm, selector=selector, public=public)
    key.sealed_private = vault().seal(pem, context=dkim_context(row.pk, selector))
    key.full_clean()
    key.save(force_insert=True)
    new = {"state": key.state, "algorithm": key.algorithm}
    record_in_tenant("dkim_key.made", _name(row, selector), actor=actor, new=new)
    return key


def _switch_to(row: Domain, key: DkimKey, now: datetime) -> str:
    before = row.dkim_keys.filter(algorithm=key.algorithm, state=State.ACTIVE)
    retired = list(before.values_list("selector", flat=True))
    before.update(state=State.RETIRED, retired_at=now)
    key.state, key.seen_at = State.ACTIVE, now
    key.save(update_fields=["state", "seen_at"])
    record_in_tenant(
        "dkim_key.activated", _name(row, key.selector), actor=THE_SERVICE, new={"retired": retired}
    )
    return key.selector


def _remove_old(row: Domain, now: datetime) -> None:
    old = row.dkim_keys.filter(state=State.RETIRED, retired_at__lte=now - RETIRED_KEPT_FOR)
    for key in old:
        record_in_tenant("dkim_key.removed", _name(row, key.selector), actor=THE_SERVICE)
        key.delete()


def _name(row: Domain, selector: str) -> str:
    return f"{selector}._domainkey.{row.name}"
