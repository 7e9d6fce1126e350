"""Our own signing keys: of the forward domain (forwarded mail) and the service domain (notices).

`signing_keys` is on the mail path: keys are loaded once a process (an RSA key takes 33 ms), and at
most once a minute one short query asks whether others became active. While the database is away the
keys in hand are used.
"""

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction

from mail.signing import Algorithm, SigningKey, generate_key_pair, load_signing_key
from tenants.audit import THE_SERVICE, Actor, record_platform
from tenants.clock import database_now
from tenants.context import public_schema
from tenants.errors import TenancyError, UnknownName
from tenants.models import ServiceKey
from tenants.vault import vault

REREAD_SECONDS: Final = 60.0

Purpose = ServiceKey.Purpose
State = ServiceKey.State
ALGORITHMS: Final = {
    ServiceKey.Algorithm.RSA: Algorithm.RSA_SHA256,
    ServiceKey.Algorithm.ED25519: Algorithm.ED25519_SHA256,
}

log = structlog.get_logger()


def domain_of(purpose: str) -> str:
    """The domain that keys of a purpose sign for."""
    env = settings.ENV
    return env.forward_domain if purpose == Purpose.FORWARD else env.service_domain


def ensure_service_keys() -> tuple[str, ...]:
    """Make the keys that are missing; gives the names (`selector._domainkey.domain`) made now."""
    with public_schema(), transaction.atomic():
        _lock()
        have = set(
            ServiceKey.objects.filter(state=State.ACTIVE).values_list("purpose", "algorithm")
        )
        missing = [(p, a) for p in Purpose for a in ALGORITHMS if (p.value, a.value) not in have]
        made = [_make(p, a, State.ACTIVE, THE_SERVICE) for p, a in missing]
    return tuple(record_name(key) for key in made)


def prepare_next_key(
    *, purpose: ServiceKey.Purpose, algorithm: ServiceKey.Algorithm, actor: Actor | str
) -> ServiceKey:
    """A key to be published now and activated when the DNS has it. Raises `TenancyError`."""
    with public_schema(), transaction.atomic():
        _lock()
        waiting = ServiceKey.objects.filter(purpose=purpose, algorithm=algorithm, state=State.NEXT)
        there = waiting.first()
        if there is not None:
            raise TenancyError(
                f"{there.selector} waits already: publish it, then `manage.py service key activate "
                f"{there.selector}`."
            )
        return _make(purpose, algorithm, State.NEXT, actor)


def activate_key(*, selector: str, actor: Actor | str) -> ServiceKey:
    """Sign with a key that waits from now on; the one before is retired. Raises `UnknownName`."""
    with public_schema(), transaction.atomic():
        _lock()
        key = ServiceKey.objects.filter(selector=selector, state=State.NEXT).first()
        if key is None:
            raise UnknownName(f"No key {selector} waits: see `manage.py service key`.")
        ServiceKey.objects.filter(
            purpose=key.purpose, algorithm=key.algorithm, state=State.ACTIVE
        ).update(state=State.RETIRED)
        key.state = State.ACTIVE
        key.save(update_fields=["state"])
        record_platform("service_key.activated", record_name(key), actor=actor)
    return key


def record_name(key: ServiceKey) -> str:
    """Where the public half is published."""
    return f"{key.selector}._domainkey.{domain_of(key.purpose)}"


def _lock() -> None:
    """One process at a time makes or changes keys."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('mxax.service_keys', 0))")


def _make(
    purpose: ServiceKey.Purpose,
    algorithm: ServiceKey.Algorithm,
    state: ServiceKey.State,
    actor: Actor | str,
) -> ServiceKey:
    pem, public = generate_key_pair(ALGORITHMS[algorithm])
    key = ServiceKey(purpose=purpose, algorithm=algorithm, state=state, public=public)
    key.selector = _free_selector(database_now())
    key.sealed_private = vault().seal(pem, context=seal_context(key.purpose, key.selector))
    key.full_clean()
    key.save(force_insert=True)
    record_platform("service_key.made", record_name(key), actor=actor, new={"state": key.state})
    return key


def _free_selector(now: datetime) -> str:
    """`mx2026a`, then b, c … z, aa: never used before, for any purpose."""
    stem = f"mx{now.year}"
    taken = set(
        ServiceKey.objects.filter(selector__startswith=stem).values_list("selector", flat=True)
    )
    number = 0
    while f"{stem}{_letters(number)}" in taken:
        number += 1
    return f"{stem}{_letters(number)}"


def _letters(number: int) -> str:
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + chr(ord("a") + last)


def seal_context(purpose: str, selector: str) -> bytes:
    """What the private half of one of our keys is bound to."""
    return f"service key {purpose} {selector}".encode()


@dataclass(slots=True)
class _Cache:
    """Loaded keys by row id, and which of them are active, as last asked."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    loaded: dict[int, SigningKey] = field(default_factory=dict)
    active: dict[str, tuple[SigningKey, ...]] = field(default_factory=dict)
    asked_at: float = float("-inf")


_cache = _Cache()


def signing_keys(purpose: str) -> tuple[SigningKey, ...]:
    """The active keys of a purpose, RSA first. DatabaseError only before the first success."""
    purpose = str(getattr(purpose, "value", purpose))
    if time.monotonic() - _cache.asked_at > REREAD_SECONDS:
        with _cache.lock:
            if time.monotonic() - _cache.asked_at > REREAD_SECONDS:
                _reread()
    return _cache.active.get(purpose, ())


def forget_signing_keys() -> None:
    """Ask again at the next use: after a change in this process, and after a fork."""
    _cache.loaded, _cache.active, _cache.asked_at = {}, {}, float("-inf")


def _reread() -> None:
    try:
        _read_active()
    except (DatabaseError, InterfaceError) as error:
        if not _cache.active:
            raise
        log.warning("service_keys.not_reread", error=type(error).__name__)
    _cache.asked_at = time.monotonic()


def _read_active() -> None:
    with public_schema():
        # "rsa" sorts after "ed25519": receivers that know RSA only find it first.
        ids = ServiceKey.objects.filter(state=State.ACTIVE).order_by("purpose", "-algorithm")
        rows = list(ids.values_list("id", "purpose"))
        new = ServiceKey.objects.in_bulk([pk for pk, _ in rows if pk not in _cache.loaded])
    _cache.loaded |= {pk: _load(key) for pk, key in new.items()}
    active: dict[str, tuple[SigningKey, ...]] = {}
    for pk, purpose in rows:
        active[purpose] = (*active.get(purpose, ()), _cache.loaded[pk])
    _cache.active = active


def _load(key: ServiceKey) -> SigningKey:
    return load_signing_key(
        vault().unseal(bytes(key.sealed_private), context=seal_context(key.purpose, key.selector)),
        algorithm=ALGORITHMS[ServiceKey.Algorithm(key.algorithm)],
        domain=domain_of(key.purpose),
        selector=key.selector,
    )
