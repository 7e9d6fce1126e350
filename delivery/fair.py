"""Who gets the next places of a sending loop while more is due than it has room for.

    roster of tenants with something due  ->  shares  ->  a claim of so many rows of each

Normally a claim takes what has been due longest, whoever's it is: one cheap probe of one index. A
tenant with 50,000 messages to a dead host would then stand before everybody. So when a claim comes
back full, or a tenant has reached his cap, the next ones ask each tenant in turn.

A cap holds at all times: some places stay free of any one tenant, so that the first message of
another never waits for the time-out of a next hop.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from delivery import fair_sql
from delivery.claim import NOTHING, Claim, run_claim

TenantId = int | None
"""None is the service itself: its notices are mail like any other."""

MOST_TENANTS = 50
PUT_OFF_WINDOW = 100
YOUNG = timedelta(hours=1)
"""Older mail keeps its own schedule, whose steps are long then."""

_FEW_PLACES = 20
_ROSTER_SECONDS = 0.02
_STUCK_SECONDS = 0.1  # between claims of mail most of which cannot go
_ROSTER_PART = 10  # asking who is there takes a tenth of the time at most


@dataclass(frozen=True, slots=True)
class Caps:
    """Places that one tenant may hold: while nobody else waits, while somebody does, and while
    most of his mail cannot go anyway.
    """

    alone: int
    among_others: int
    stuck: int

    @classmethod
    def of(cls, places: int) -> "Caps":
        if places < _FEW_PLACES:
            return cls(places, places, places)
        return cls(places * 4 // 5, places // 2, places // 20)


@dataclass(frozen=True, slots=True)
class PutOff:
    """Due mail of one tenant to one domain whose next hop takes nothing for so many seconds."""

    tenant_id: int
    domain: str
    seconds: float


def share_out(
    due: Collection[TenantId],
    held: Mapping[TenantId, int],
    *,
    free: int,
    caps: Caps,
    stuck: Collection[TenantId] = (),
    after: int = 0,
) -> dict[TenantId, int]:
    """How many more each tenant gets; those behind number `after` come first.

    Places are dealt out one by one, so that many tenants get one each and few get many.
    """
    cap = caps.alone if len({*due, *held}) == 1 else caps.among_others
    turn = _in_turn(due, after)[:MOST_TENANTS]
    most = {t: (caps.stuck if t in stuck else cap) - held.get(t, 0) for t in turn}
    shares = dict.fromkeys(turn, 0)
    while free > 0:
        open_ = [tenant for tenant in turn if shares[tenant] < most[tenant]]
        if not open_:
            break
        for tenant in open_[:free]:
            shares[tenant] += 1
        free -= len(open_)
    return {tenant: share for tenant, share in shares.items() if share}


def _in_turn(due: Collection[TenantId], after: int) -> list[TenantId]:
    """The service first, then the tenants by number, beginning behind `after`."""
    numbers = sorted(tenant for tenant in due if tenant is not None)
    turned: list[TenantId] = [n for n in numbers if n > after]
    turned += [n for n in numbers if n <= after]
    return [None, *turned] if None in due else turned


@dataclass(slots=True)
class FairClaim:
    """Claims by shares; remembers who was there, and whose turn it is."""

    clock: Callable[[], float] = time.monotonic
    _roster: tuple[TenantId, ...] = ()
    _stale_at: float = float("-inf")
    _after: int = 0
    _stuck_from: float = float("-inf")

    def claim(
        self,
        cursor: "psycopg.Cursor[Any]",
        free: int,
        held: Mapping[TenantId, int],
        caps: Caps,
        stuck: Collection[TenantId] = (),
        leases_at: datetime | None = None,
    ) -> tuple[Claim, bool]:
        """The claim, and whether more is due than could be given."""
        self._call_the_roll(cursor)
        shares = share_out(self._roster, held, free=free, caps=caps, stuck=stuck, after=self._after)
        if not shares:
            return NOTHING, bool(self._roster)
        numbered = [(tenant, share) for tenant, share in shares.items() if tenant is not None]
        which = {
            "tenants": [tenant for tenant, _ in numbered],
            "shares": [share for _, share in numbered],
            "own_share": shares.get(None, 0),
        }
        claim = run_claim(cursor, fair_sql.CLAIM_SHARES, which, leases_at)
        if len(numbered) >= MOST_TENANTS or free <= len(shares):
            self._after = numbered[-1][0] if numbered else 0
        got = Counter(one.message.tenant_id for one in claim.deliveries)
        return claim, any(got[tenant] >= share for tenant, share in shares.items())

    def _call_the_roll(self, cursor: "psycopg.Cursor[Any]") -> None:
        started = self.clock()
        if started < self._stale_at:
            return
        cursor.execute(fair_sql.DUE_TENANTS)
        self._roster = tuple(row[0] for row in cursor.fetchall())
        ended = self.clock()
        self._stale_at = ended + max(_ROSTER_SECONDS, (ended - started) * _ROSTER_PART)


def put_off(cursor: "psycopg.Cursor[Any]", wanted: PutOff) -> int:
    """Move the next rows of what waits in vain behind the pause; gives how many there were."""
    cursor.execute(
        fair_sql.PUT_OFF,
        {
            "tenant": wanted.tenant_id,
            "domain": wanted.domain,
            "seconds": wanted.seconds,
            "spread": max(5.0, wanted.seconds / 4),
            "window": PUT_OFF_WINDOW,
            "young": YOUNG,
        },
    )
    return cursor.rowcount
