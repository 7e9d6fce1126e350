"""From accepted recipients and received octets to `PlannedMessage`s: one a tenant.

Bcc privacy and erasure stay simple that way: no two tenants share a message or its content.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final
from uuid import UUID

from mail.authentication.values import ArcResult
from mail.envelope import Envelope
from mail.facts import LogLevel, RecipientFacts, ReturnPath
from mail.message import Field, first_value
from mail.opaque import Rewritten
from mail.plan import Direction, PlannedDelivery, PlannedMessage
from mail.policy.recipient import deliveries_of
from mail.trace import Hop, printable, received_field
from mail.verdict import Judgement

CHUNK_OCTETS: Final = 256 * 1024
PIECE_OCTETS: Final = CHUNK_OCTETS - 4096  # a first chunk has our Received field before it
_MAX_SUBJECT = 500
_ADDRESS = re.compile(rb"[^\s<>,;:\"()@]{1,64}@[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class AcceptedRecipient:
    """A recipient that was answered 250; no deliveries where the route drops its mail."""

    facts: RecipientFacts
    judgement: Judgement
    deliveries: tuple[PlannedDelivery, ...]

    @classmethod
    def of(cls, facts: RecipientFacts, judgement: Judgement) -> "AcceptedRecipient":
        return cls(facts, judgement, deliveries_of(facts, judgement))

    @property
    def address(self) -> str:
        return str(self.facts.address)

    @property
    def tenant_id(self) -> int | None:
        return self.facts.snapshot.tenant_id if self.facts.snapshot else None

    @property
    def log_level(self) -> LogLevel:
        if self.direction is Direction.RETURN:
            return LogLevel.HASHED  # whose author it is for, and what he lets us log, is not known
        return self.facts.snapshot.message_level if self.facts.snapshot else LogLevel.METADATA

    @property
    def keeps_attempts(self) -> bool:
        return self.facts.snapshot is None or self.facts.snapshot.keeps_attempts

    @property
    def direction(self) -> Direction:
        is_return = isinstance(self.facts.returned, ReturnPath)
        return Direction.RETURN if is_return else Direction.FORWARD


@dataclass(frozen=True, slots=True)
class Share:
    """What one tenant gets of a transaction; it becomes a message of its own.

    `trace` is the Received field that goes before the octets.
    """

    trace_id: UUID
    tenant_id: int | None
    direction: Direction
    log_level: LogLevel
    keeps_attempts: bool
    recipients: tuple[AcceptedRecipient, ...]
    deliveries: tuple[PlannedDelivery, ...]
    trace: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """How one share is trusted: its deliveries, some of them held, and what is written of it."""

    deliveries: tuple[PlannedDelivery, ...]
    our_fields: str = ""
    chain: ArcResult | None = None
    found: tuple[tuple[str, str], ...] = ()
    trail: tuple[str, ...] = ()


def share_out(
    envelope: Envelope,
    recipients: Iterable[AcceptedRecipient],
    *,
    service: str,
    now: datetime,
    next_id: Callable[[], UUID],
) -> tuple[Share, ...]:
    """The shares in order of their first recipient; the first one has the transaction's id."""
    groups: dict[tuple[int | None, Direction], list[AcceptedRecipient]] = {}
    for recipient in recipients:
        if recipient.deliveries:
            groups.setdefault((recipient.tenant_id, recipient.direction), []).append(recipient)
    return tuple(
        _share(group, next_id() if number else envelope.trace_id, envelope, service, now)
        for number, group in enumerate(groups.values())
    )


def _share(
    group: Sequence[AcceptedRecipient],
    trace_id: UUID,
    envelope: Envelope,
    service: str,
    now: datetime,
) -> Share:
    first = group[0]
    return Share(
        trace_id=trace_id,
        tenant_id=first.tenant_id,
        direction=first.direction,
        log_level=min(one.log_level for one in group),
        keeps_attempts=all(one.keeps_attempts for one in group),
        recipients=tuple(group),
        deliveries=_deliveries(group),
        trace=_trace_field(group, trace_id, envelope, service, now),
    )


def _deliveries(group: Sequence[AcceptedRecipient]) -> tuple[PlannedDelivery, ...]:
    """Named twice in one transaction is still one delivery."""
    if len(group) == 1 and len(group[0].deliveries) == 1:
        return group[0].deliveries
    return tuple(dict.fromkeys(delivery for one in group for delivery in one.deliveries))


def _trace_field(
    group: Sequence[AcceptedRecipient],
    trace_id: UUID,
    envelope: Envelope,
    service: str,
    now: datetime,
) -> bytes:
    """Our Received field; it names the recipient only where there is no other to be told of."""
    client = envelope.client
    return received_field(
        Hop(
            helo=client.helo,
            client_ip=client.ip,
            service=service,
            trace_id=trace_id,
            received_at=now,
            extended=client.protocol != "SMTP",
            tls=bool(client.tls),
            utf8=envelope.smtputf8,
            recipient=group[0].address if len(group) == 1 else None,
        )
    )


def plan_message(
    envelope: Envelope,
    share: Share,
    *,
    outgoing: Rewritten,
    fields: Sequence[Field],
    size_octets: int,
    header_octets: int,
    message_trail: tuple[str, ...],
    standing: Standing,
    authenticated: bool = False,
) -> PlannedMessage:
    """The message as it will be kept. A return has no reverse-path yet: delivery decides."""
    client = envelope.client
    is_return = share.direction is Direction.RETURN
    return PlannedMessage(
        trace_id=share.trace_id,
        tenant_id=share.tenant_id,
        direction=share.direction,
        reverse_path=envelope.reverse_path,
        outgoing_path="" if is_return else outgoing.path,
        client_ip=client.ip,
        helo=client.helo,
        protocol=client.protocol,
        tls=client.tls,
        size_octets=size_octets,
        header_octets=header_octets,
        smtputf8=envelope.smtputf8,
        eight_bit=envelope.eight_bit,
        log_level=share.log_level,
        deliveries=standing.deliveries,
        opaque=None if is_return else outgoing.opaque,
        subject=_subject(fields) if share.log_level >= LogLevel.HEADERS else "",
        author=_author(fields),
        trail=share.recipients[0].judgement.trail + message_trail + standing.trail,
        keeps_attempts=share.keeps_attempts,
        authenticated=authenticated and not is_return,
        our_fields=standing.our_fields,
        found=standing.found,
        chain=standing.chain,
    )


def chunks_of(content: bytes) -> tuple[bytes, ...]:
    """The content in pieces that fit into a row each."""
    if len(content) <= CHUNK_OCTETS:
        return (content,)
    return tuple(content[at : at + CHUNK_OCTETS] for at in range(0, len(content), CHUNK_OCTETS))


def _author(fields: Sequence[Field]) -> str:
    """The first address of the From field, for the log; policies look at authors themselves."""
    value = first_value(fields, b"from") or b""
    found = _ADDRESS.findall(value[:2000])
    return found[-1].decode("utf-8", "replace") if found else ""


def _subject(fields: Sequence[Field]) -> str:
    """The subject as people read it, for logs that may hold it."""
    value = (first_value(fields, b"subject") or b"")[:2000].decode("utf-8", "replace")
    # What cannot be decoded is shown as it came.
    with contextlib.suppress(ValueError, LookupError, HeaderParseError):
        value = str(make_header(decode_header(value)))
    return printable(value, _MAX_SUBJECT)
