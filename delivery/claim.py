"""What a sending loop holds: leased deliveries, the messages they belong to, and the content.

Everything here is a value; `claim_due`, `renew` and `load_chunk` run in the loop's database thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from delivery import sql
from delivery.content import unseal_chunk
from mail.authentication.values import ArcResult
from mail.facts import LogLevel
from mail.plan import Direction
from mail.signing import RelaxedBodyHash
from tenants.vault import VaultError

LEASE = timedelta(seconds=45)


@dataclass(frozen=True, slots=True)
class Content:
    """The clear octets of a message in pieces, and the hash of its body (relaxed form)."""

    pieces: tuple[bytes, ...]
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message with something due. `content` is None when it is large, or does not open."""

    id: UUID
    tenant_id: int | None
    direction: Direction
    reverse_path: str
    outgoing_path: str
    size_octets: int
    header_octets: int
    chunk_count: int
    smtputf8: bool
    log_level: LogLevel
    accepted_at: datetime
    content: Content | None
    fault: str = ""
    authenticated: bool = False
    keeps_attempts: bool = True
    our_fields: bytes = b""
    chain: ArcResult | None = None
    client_ip: str = ""
    helo: str = ""


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """One delivery under our lease; `attempts` counts the one to be made now."""

    id: int
    token: UUID
    message: ClaimedMessage
    route_id: int | None
    recipient: str
    destination: str
    attempts: int
    taken_over: bool
    """Its last lease ran out: somebody began, and did not end."""
    leases_lost: int = 0
    """How many ran out since an attempt last came to an end."""
    released_at: datetime | None = None
    """When a hold of it ended."""

    @property
    def waits_since(self) -> datetime:
        """From when its tries and its delay count: what was held was nobody's to send."""
        return self.released_at or self.message.accepted_at


@dataclass(frozen=True, slots=True)
class Claim:
    """What one statement leased; `now` is the database's clock at that moment."""

    deliveries: tuple[ClaimedDelivery, ...]
    now: datetime | None


NOTHING = Claim((), None)


class ContentReader:
    """Opens the pieces of one message in order and hashes its body on the way."""

    def __init__(self, message_id: UUID, tenant_id: int | None, header_octets: int) -> None:
        self._message_id, self._tenant_id = message_id, tenant_id
        self._before_body = header_octets + 2  # the blank line
        self._pieces: list[bytes] = []
        self._hash = RelaxedBodyHash()

    def add(self, sealed: bytes) -> None:
        """The next piece. Raises `VaultError`."""
        clear = unseal_chunk(
            sealed,
            tenant_id=self._tenant_id,
            message_id=self._message_id,
            number=len(self._pieces),
        )
        self._pieces.append(clear)
        skipped = min(self._before_body, len(clear))
        self._before_body -= skipped
        self._hash.update(clear[skipped:] if skipped else clear)

    def content(self) -> Content:
        return Content(tuple(self._pieces), self._hash.digest())


@dataclass(slots=True)
class _Messages:
    """The messages of one claim; each comes with the first of its deliveries."""

    seen: dict[UUID, ClaimedMessage] = field(default_factory=dict)

    def of(self, row: tuple[Any, ...]) -> ClaimedMessage:
        message = self.seen.get(row[1])
        if message is None:
            message = self.seen[row[1]] = _message(row)
        return message


def claim_due(
    cursor: "psycopg.Cursor[Any]", limit: int, leases_at: datetime | None = None
) -> Claim:
    """Lease up to `limit` due deliveries, the longest due first."""
    return run_claim(cursor, sql.CLAIM, {"limit": limit}, leases_at)


def run_claim(
    cursor: "psycopg.Cursor[Any]",
    statement: str,
    which: dict[str, Any],
    leases_at: datetime | None = None,
) -> Claim:
    """Run a statement made by `sql.claim_of` under a new token.

    `leases_at` is what time it is for leases (delivery/lease_clock.py); None for the database's.
    """
    token = uuid4()
    values = {**which, "token": token, "lease": LEASE, "leases_at": leases_at}
    # Never prepared: a generic plan would not know how few rows are due.
    cursor.execute(statement, values, prepare=False, binary=True)
    rows = cursor.fetchall()
    messages = _Messages()
    deliveries = tuple(
        ClaimedDelivery(
            row[0],
            token,
            messages.of(row),
            row[3],
            row[4],
            row[5],
            row[6],
            row[7],
            row[20],
            row[26],
        )
        for row in rows
    )
    return Claim(deliveries, rows[0][17]) if rows else NOTHING


def _message(row: tuple[Any, ...]) -> ClaimedMessage:
    content, fault = None, ""
    header_octets, sealed = row[12], row[18]
    if row[13] == 1:
        try:
            content = _small_content(row[1], row[2], header_octets, sealed)
        except VaultError as error:
            fault = str(error)
    return ClaimedMessage(
        id=row[1],
        tenant_id=row[2],
        direction=Direction(row[8]),
        reverse_path=row[9],
        outgoing_path=row[10],
        size_octets=row[11],
        header_octets=header_octets,
        chunk_count=row[13],
        smtputf8=row[14],
        log_level=LogLevel(row[15]),
        accepted_at=row[16],
        content=content,
        fault=fault,
        authenticated=row[19],
        keeps_attempts=row[21],
        our_fields=row[22].encode(),
        chain=ArcResult(row[23]) if row[23] else None,
        client_ip=row[24],
        helo=row[25],
    )


def _small_content(
    message_id: UUID, tenant_id: int | None, header_octets: int, sealed: bytes | None
) -> Content:
    if sealed is None:
        raise VaultError("the content is not there")
    reader = ContentReader(message_id, tenant_id, header_octets)
    reader.add(sealed)
    return reader.content()


def load_chunk(cursor: "psycopg.Cursor[Any]", message_id: UUID, number: int) -> bytes:
    """A sealed piece of a large message. Raises `VaultError` when it is not there."""
    cursor.execute(sql.LOAD_CHUNK, (message_id, number), binary=True)
    row = cursor.fetchone()
    if row is None:
        raise VaultError("a piece of the content is not there")
    return bytes(row[0])


def renew(cursor: "psycopg.Cursor[Any]", leases: Iterable[tuple[int, UUID]]) -> frozenset[int]:
    """Move the end of these leases; gives the deliveries that are still ours."""
    held = sorted(leases)
    if not held:
        return frozenset()
    ids = [delivery_id for delivery_id, _ in held]
    tokens = [token for _, token in held]
    cursor.execute(sql.RENEW, {"lease": LEASE, "ids": ids, "tokens": tokens})
    return frozenset(row[0] for row in cursor.fetchall())
