"""What we refused: the first 20 per client, domain and hour exactly, the rest counted.

| called by the edge's reporter | with | leaves |
|---|---|---|
| `record` | a batch of `RefusedAt`, a second's worth | tallies, REFUSED events |
| `add_usage` | deliveries accepted since the last call | `TenantUsage` of today |

`accepted_today` reads that for the panel.

A client that tries a dictionary of addresses writes 20 events an hour and one counter. Domains not
hosted here share one tally per client (domain ""): their names are the client's invention, and a
row for each would let a stranger fill the table.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from delivery.outbox import address_pepper, insert_events
from mail.events import Event, hash_address
from mail.facts import LogLevel

KEPT_EXACTLY = 20
NOT_HOSTED = ""

_ADD_TALLIES = """
    INSERT INTO public.delivery_refusaltally AS known (hour, client_ip, domain, tenant_id, count)
    SELECT date_trunc('hour', clock_timestamp()), *
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::int[])
    ON CONFLICT (hour, client_ip, domain) DO UPDATE SET count = known.count + excluded.count
    RETURNING client_ip, domain, count
"""
_ADD_USAGE = """
    INSERT INTO public.delivery_tenantusage AS known (tenant_id, day, accepted)
    SELECT tenant_id, (clock_timestamp() AT TIME ZONE 'UTC')::date, accepted
    FROM unnest(%s::bigint[], %s::int[]) AS today (tenant_id, accepted)
    ON CONFLICT (tenant_id, day) DO UPDATE SET accepted = known.accepted + excluded.accepted
    RETURNING tenant_id, accepted
"""

_USAGE_TODAY = """
    SELECT accepted FROM public.delivery_tenantusage
    WHERE tenant_id = %s AND day = (clock_timestamp() AT TIME ZONE 'UTC')::date
"""


@dataclass(frozen=True, slots=True)
class RefusedAt:
    """A refusal as the edge saw it.

    `event` has the kind REFUSED and everything known (it is cut down to `log_level` here);
    `domain` is the recipient's domain as an A-label, "" where none was named (connect, MAIL FROM).
    """

    event: Event
    domain: str = NOT_HOSTED
    log_level: LogLevel = LogLevel.METADATA


_Key = tuple[str, str]


def record(events: Sequence[RefusedAt]) -> None:
    """Count the refusals and keep the first of each client, domain and hour, in one transaction."""
    counted = [refused for refused in events if refused.log_level > LogLevel.NOTHING]
    if not counted:
        return
    with transaction.atomic():
        room = _add_tallies(counted)
        kept = []
        for refused in counted:
            key = _key(refused)
            room[key] -= 1
            if room[key] >= 0:
                kept.append((refused.event, refused.log_level))
        insert_events(kept)


def _key(refused: RefusedAt) -> _Key:
    hosted = refused.event.tenant_id is not None
    return _client(refused), refused.domain[:255] if hosted else NOT_HOSTED


def _client(refused: RefusedAt) -> str:
    """As the log may name the client: hashed where addresses are."""
    client_ip = refused.event.client_ip[:45]
    hidden = refused.log_level < LogLevel.METADATA
    return hash_address(client_ip, address_pepper()) if hidden else client_ip


def _add_tallies(counted: Sequence[RefusedAt]) -> dict[_Key, int]:
    """Add to the tallies; gives how many of this batch may still be kept exactly, by key."""
    counts = Counter(_key(refused) for refused in counted)
    tenants = {_key(refused): refused.event.tenant_id for refused in counted}
    keys = sorted(counts)  # one order in every process, or two batches could deadlock
    columns: list[Any] = [
        [client_ip for client_ip, _ in keys],
        [domain for _, domain in keys],
        [tenants[key] for key in keys],
        [counts[key] for key in keys],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADD_TALLIES, columns)
        return {
            (client_ip, domain): KEPT_EXACTLY - (total - counts[client_ip, domain])
            for client_ip, domain, total in cursor.fetchall()
        }


def add_usage(counts: Mapping[int, int]) -> dict[int, int]:
    """Add accepted deliveries to each tenant's day (UTC, by the database); gives today's totals."""
    if not counts:
        return {}
    tenants = sorted(counts)
    with connection.cursor() as cursor:
        cursor.execute(_ADD_USAGE, [tenants, [counts[tenant] for tenant in tenants]])
        return dict(cursor.fetchall())


def accepted_today(tenant_id: int) -> int:
    """Deliveries accepted for a tenant since midnight (UTC), as far as the edges have told."""
    with connection.cursor() as cursor:
        cursor.execute(_USAGE_TODAY, [tenant_id])
        row = cursor.fetchone()
    return int(row[0]) if row else 0
