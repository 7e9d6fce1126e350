"""The sending loop's database work: one thread, one connection, one transaction at a time.

    Wanted (endings, leases, how many more)  ->  exchange  ->  Given (settled, still ours, a claim)

Settling the last batch and claiming the next in one transaction halves the commits. When it fails
nothing of it happened, or all of it did and nobody knows: then the endings match no token the next
time, and the claim comes back when its leases run out.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from django.db import DataError, Error, IntegrityError, connection, transaction

from delivery import sql
from delivery.attempts import KeyRing
from delivery.claim import NOTHING, Claim, claim_due, load_chunk, renew
from delivery.fair import Caps, FairClaim, PutOff, TenantId, put_off
from delivery.latency import LATENCY
from delivery.lease_clock import LeaseClock
from delivery.metrics import CLAIMED, EXCHANGE_SECONDS, EXCHANGES
from delivery.settle import Ending, barer, settle
from mail.errors import BadSigningKey
from tenants.keys import signing_keys
from tenants.models import ServiceKey
from tenants.vault import VaultError

log = structlog.get_logger()
T = TypeVar("T")
_PUT_OFF_REST = 4
# What the values of one row cause, whenever it is tried.
_POISON = (DataError, IntegrityError, UnicodeError)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one exchange shall do."""

    endings: tuple[Ending, ...] = ()
    limit: int = 0
    leases: tuple[tuple[int, UUID], ...] = ()
    heartbeat: int | None = None
    """How many are in flight, when it is time to say that we live."""
    is_fair: bool = False
    """Ask each tenant in turn; otherwise whatever has been due longest is claimed."""
    held: Mapping[TenantId, int] = field(default_factory=Counter)
    caps: Caps = field(default_factory=lambda: Caps.of(0))
    stuck: frozenset[TenantId] = frozenset()
    """Tenants most of whose mail cannot go now."""
    put_off: PutOff | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What it came to."""

    settled: frozenset[int]
    renewed: frozenset[int]
    claim: Claim
    keys: KeyRing
    was_full: bool = False
    """There is more due than the claim could give, as far as it knows."""
    put_off: int | None = None
    """How many rows were put off; None when it was not its time."""


class QueueDatabase:
    """Runs functions in its thread; `name` is the heartbeat's."""

    def __init__(self, name: str, *, key_ring: Callable[[], KeyRing] | None = None) -> None:
        self.name = name
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queue-database")
        self._key_ring = key_ring or keys_in_force
        self._fair = FairClaim()
        self._lease_clock = LeaseClock()
        self._put_off_from = 0.0

    def exchange(self, wanted: Wanted) -> Given:
        """Settle, renew, claim. Raises django.db.Error, with the connection closed."""
        started = time.monotonic()
        try:
            given = self._guarded(lambda: self._exchange(wanted))
        except _POISON as error:
            log.error("delivery.poisoned_batch", error=type(error).__name__)
            settled = self._settle_one_by_one(wanted.endings)
            given = self._guarded(lambda: self._exchange(replace(wanted, endings=())))
            given = replace(given, settled=settled)
        EXCHANGES.inc()
        CLAIMED.inc(len(given.claim.deliveries))
        EXCHANGE_SECONDS.observe(time.monotonic() - started)
        return given

    def _exchange(self, wanted: Wanted) -> Given:
        keys = self._key_ring()
        limit = wanted.limit if keys.forward and keys.service else 0
        with transaction.atomic(), sql.queue_cursor() as cursor:
            settled = settle(cursor, wanted.endings)
            renewed = renew(cursor, wanted.leases)
            if wanted.heartbeat is not None:
                self._beat(cursor, wanted.heartbeat)
            moved = self._put_off(cursor, wanted.put_off)
            claim, was_full, leases_at = NOTHING, False, self._lease_clock.now()
            if limit and wanted.is_fair:
                claim, was_full = self._fair.claim(
                    cursor, limit, wanted.held, wanted.caps, wanted.stuck, leases_at
                )
            elif limit:
                claim = claim_due(cursor, limit, leases_at)
                was_full = len(claim.deliveries) == limit
        return Given(settled, renewed, claim, keys, was_full, moved)

    def _beat(self, cursor: "psycopg.Cursor[Any]", in_flight: int) -> None:
        """Say that we live, and learn what time it is."""
        cursor.execute(sql.BEAT_HEART, (self.name, in_flight, LATENCY.counts()))
        for row in cursor.fetchall():
            self._lease_clock.seen(row[0])

    def _put_off(self, cursor: "psycopg.Cursor[Any]", one: PutOff | None) -> int | None:
        started = time.monotonic()
        if one is None or started < self._put_off_from:
            return None
        moved = put_off(cursor, one)
        ended = time.monotonic()
        self._put_off_from = ended + (ended - started) * _PUT_OFF_REST  # others have mail to claim
        return moved

    def _settle_one_by_one(self, endings: Sequence[Ending]) -> frozenset[int]:
        """Each in a transaction of its own, so that one which cannot be settled stands alone.

        That one is settled without the texts that came from outside. When even this does not go,
        its lease runs out and it is tried again: late, and with an error each time.
        """
        settled: frozenset[int] = frozenset()
        for ending in endings:
            for one in barer(ending):
                try:
                    settled |= self._guarded(partial(_settle_alone, one))
                    break
                except _POISON as error:
                    log.error(
                        "delivery.ending_does_not_settle",
                        delivery=one.delivery_id,
                        error=type(error).__name__,
                    )
        return settled

    def load_chunk(self, message_id: UUID, number: int) -> bytes:
        """A sealed piece of a large message. Raises django.db.Error and VaultError."""

        def load() -> bytes:
            with sql.queue_cursor() as cursor:
                return load_chunk(cursor, message_id, number)

        return self._guarded(load)

    def forget_heart(self) -> None:
        """We end on purpose: nobody shall look for us."""

        def forget() -> None:
            with sql.queue_cursor() as cursor:
                cursor.execute(sql.FORGET_HEARTS, (self.name,))

        self._guarded(forget)

    def close(self) -> None:
        """Close the thread's connection; the last thing that is asked of it."""
        connection.close()

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (Error, UnicodeError):
            connection.close()  # whatever state it is in: the next try gets a new one
            raise


def _settle_alone(ending: Ending) -> frozenset[int]:
    with transaction.atomic(), sql.queue_cursor() as cursor:
        return settle(cursor, [ending])


def keys_in_force() -> KeyRing:
    """The active keys, loaded once a process and asked for once a minute (tenants.keys).

    Keys that do not open are no keys: then nothing is claimed, and the mail waits.
    """
    try:
        return KeyRing(
            forward=signing_keys(ServiceKey.Purpose.FORWARD),
            service=signing_keys(ServiceKey.Purpose.SERVICE),
        )
    except (VaultError, BadSigningKey) as error:
        log.error("delivery.keys_do_not_open", error=str(error))
        return KeyRing((), ())
