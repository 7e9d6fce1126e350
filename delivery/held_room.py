"""How much a tenant's held mail takes, for the bound on it (smtp_edge/held_room.py)."""

from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import connection

from mail.plan import Hold

NEARLY_FULL: Final = 0.8
_ROWS_OCTETS: Final = 4096
"""About what a message takes besides its content."""
_HELD = """
    SELECT coalesce(sum(message.size_octets + %s), 0) FROM (
        SELECT DISTINCT message_id FROM public.delivery_delivery
        WHERE tenant_id = %s AND state = 2 AND hold = ANY(%s)) AS held
    JOIN public.delivery_message message ON message.id = held.message_id
"""
_KEPT_BACK: Final = [int(Hold.ROUTE), int(Hold.QUARANTINE)]


def held_octets(tenant_id: int) -> int:
    """Octets of what is in his quarantine and waits for his paused routes.

    Row-level security shows the panel's role the rows of the tenant that is open, and no others.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [_ROWS_OCTETS, tenant_id, _KEPT_BACK])
        return int(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class LittleRoom:
    """What held mail takes and may take, in octets."""

    taken: int
    most: int


def little_room(tenant_id: int) -> LittleRoom | None:
    """Where four fifths of the room are taken, so that somebody has to be told."""
    most = settings.ENV.held_max_octets
    taken = held_octets(tenant_id) if most else 0
    return LittleRoom(taken, most) if most and taken >= most * NEARLY_FULL else None
