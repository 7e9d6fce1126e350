"""What happened to a message: the records that the tenant's log is made of.

An `Event` is made where the thing happens (edge, sending loop), cut down at once to what the
tenant's log level allows (`disclose`), and travels through the outbox into the tenant's schema.
HASHED hides addresses of people and of clients under a pepper; COUNTS keeps what can be counted,
NOTHING keeps nothing.
"""

import hashlib
import hmac
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final
from uuid import UUID

from mail.facts import LogLevel
from mail.policy.trust_findings import as_hashed


class EventKind(Enum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    DROPPED = "dropped"
    ATTEMPTED = "attempted"
    RETURNED = "returned"
    HELD = "held"
    RELEASED = "released"
    DELETED = "deleted"
    DELIVERED = "delivered"
    """The end of a delivery whose attempts are not kept; so is FAILED."""
    FAILED = "failed"
    COUNTED = "counted"
    """Of a tenant who lets us count and nothing else: which route, and how it went."""
    NOTICED = "noticed"
    """It was decided whether the author hears of a failure or a delay."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; fields that do not apply stay empty and are not stored.

    `outcome` is delivered, deferred or failed for an attempt. `reply` is verbatim. `tenant_id` None
    is mail of the service itself, or a client that asked for a domain which is not hosted here.
    """

    kind: EventKind
    trace_id: UUID
    tenant_id: int | None
    direction: str = ""
    reverse_path: str = ""
    outgoing_path: str = ""
    recipient: str = ""
    destination: str = ""
    recipients: tuple[tuple[str, str], ...] = ()
    """(recipient, destination) of each planned delivery, for ACCEPTED."""
    author: str = ""
    subject: str = ""
    client_ip: str = ""
    helo: str = ""
    protocol: str = ""
    tls: str = ""
    size_octets: int = 0
    stage: str = ""
    """Where it was refused: connect, mail, rcpt or data."""
    reply: str = ""
    rule: str = ""
    reason: str = ""
    trail: tuple[str, ...] = ()
    outcome: str = ""
    attempt: int = 0
    next_hop: str = ""
    signed_by: tuple[str, ...] = ()
    queued_seconds: float = 0.0
    """From acceptance to this attempt's end."""
    next_attempt_at: str = ""
    count: int = 0
    notice_id: str = ""
    """The printed trace id of the DSN that tells the author."""
    routes: tuple[int, ...] = ()
    """Ids of the routes that it is about: what is counted for each of them."""
    about_message: bool = False
    """It failed for what the message is, not for where it goes: that says nothing of the route."""
    found: tuple[tuple[str, str], ...] = ()
    """What was found about who wrote it, and what is in it (mail.policy.trust_findings)."""

    def to_json(self) -> dict[str, Any]:
        """The stored form: filled fields only, without kind, trace id and tenant (columns)."""
        stored = ((name, getattr(self, name)) for name in _STORED_FIELDS)
        return {name: value for name, value in stored if value not in _EMPTY}


# Not `asdict`: it copies deeply, 0.1 ms a message.
_STORED_FIELDS = tuple(
    one.name for one in fields(Event) if one.name not in ("kind", "trace_id", "tenant_id")
)
_EMPTY: tuple[object, ...] = ("", 0, ())
NO_TRACE: Final = UUID(int=0)
"""Stands where an event belongs to no message."""
_COUNTED = {
    *(EventKind.ACCEPTED, EventKind.REFUSED, EventKind.ATTEMPTED, EventKind.RETURNED),
    *(EventKind.DELIVERED, EventKind.FAILED),
}
_COUNTS = {"accepted", "delivered", "deferred", "failed", "refused"}
_ADDRESSES = ("reverse_path", "outgoing_path", "recipient", "destination", "author", "client_ip")
_RESULTS = {"delivered": EventKind.DELIVERED, "failed": EventKind.FAILED}


def result_of(attempt: Event) -> Event | None:
    """What became of a delivery, without how; None where nothing is decided yet.

    For tenants that keep no attempts: neither replies nor next hops nor times between them.
    """
    kind = _RESULTS.get(attempt.outcome)
    if kind is None:
        return None
    return Event(
        kind=kind,
        trace_id=attempt.trace_id,
        tenant_id=attempt.tenant_id,
        direction=attempt.direction,
        recipient=attempt.recipient,
        destination=attempt.destination,
        routes=attempt.routes,
        about_message=attempt.about_message,
    )


def disclose(event: Event, level: LogLevel, *, pepper: bytes) -> Event | None:
    """What `level` lets us keep of an event, or None for nothing at all."""
    if level <= LogLevel.COUNTS:
        return _counted(event) if level == LogLevel.COUNTS else None
    if level == LogLevel.HASHED:
        return _hashed(event, pepper)
    if level < LogLevel.HEADERS and event.subject:
        return replace(event, subject="")
    return event


def _counted(event: Event) -> Event | None:
    """What can be counted and belongs to no message any more; it is never written into a log."""
    word = event.outcome or event.kind.value
    if event.kind not in _COUNTED or word not in _COUNTS:
        return None
    return Event(
        kind=EventKind.COUNTED,
        trace_id=NO_TRACE,
        tenant_id=event.tenant_id,
        direction=event.direction,
        outcome=word,
        routes=event.routes,
        about_message=event.about_message,
    )


def _hashed(event: Event, pepper: bytes) -> Event:
    hidden: dict[str, Any] = {
        name: hash_address(getattr(event, name), pepper) for name in _ADDRESSES
    }
    hidden["recipients"] = tuple(
        (hash_address(a, pepper), hash_address(b, pepper)) for a, b in event.recipients
    )
    hidden["found"] = as_hashed(event.found)
    # A next hop's reply often repeats the address, and the client's name tells who wrote.
    return replace(event, subject="", reply=event.reply[:9], helo="", **hidden)


def hash_address(address: str, pepper: bytes) -> str:
    """A stable pseudonym of an address, of a mailbox or a client: `~` and 16 hex digits.

    The empty string stays empty.
    """
    if not address:
        return ""
    return "~" + hmac.digest(pepper, address.lower().encode(), hashlib.sha256).hex()[:16]
