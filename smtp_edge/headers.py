"""Reads the header block of a received message into the facts that the message policy judges."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mail.envelope import Envelope
from mail.errors import TooManyAuthors
from mail.facts import MessageFacts
from mail.marker import opened_marks, passed_route
from mail.message import (
    Field,
    authors,
    begins_with_continuation,
    count_received,
    header_fields,
    is_auto_submitted,
    is_report,
    split_header_block,
)
from mail.plan import Direction
from mail.policy.message import MAX_HEADER_OCTETS
from mail.trace import ROUTE_FIELD
from smtp_edge.planning import AcceptedRecipient

_ROUTE_FIELD = ROUTE_FIELD.lower()


@dataclass(frozen=True, slots=True)
class ReceivedHeader:
    """The header block as it came; `octets` is its length with the blank line."""

    octets: int
    fields: Sequence[Field]
    authors: tuple[str, ...] | None
    begins_folded: bool

    @classmethod
    def read(cls, first_octets: bytes) -> "ReceivedHeader":
        """Of a message's first octets; a block above the limit is not looked into."""
        octets = split_header_block(first_octets)
        folded = begins_with_continuation(first_octets)
        if octets > MAX_HEADER_OCTETS:
            return cls(octets, (), (), folded)
        fields = header_fields(first_octets[:octets])
        try:
            return cls(octets, fields, authors(fields), folded)
        except TooManyAuthors:
            return cls(octets, fields, None, folded)


def message_facts(
    header: ReceivedHeader,
    envelope: Envelope,
    recipients: Iterable[AcceptedRecipient],
    *,
    own_domains: tuple[str, ...],
    size_octets: int,
    marker_keys: Callable[[], tuple[bytes, ...]],
) -> MessageFacts:
    """Everything that the message rules look at; `size_octets` is what has arrived by now."""
    recipients = tuple(recipients)
    return MessageFacts(
        reverse_path=envelope.reverse_path,
        author_domains=header.authors,
        own_domains=own_domains,
        received_count=count_received(header.fields),
        header_octets=header.octets,
        size_octets=size_octets,
        carries_our_marker=_has_been_here(header.fields, recipients, marker_keys),
        has_return_recipient=any(one.direction is Direction.RETURN for one in recipients),
        is_automatic=is_auto_submitted(header.fields) or is_report(header.fields),
        from_count=sum(field.name == b"from" for field in header.fields),
        begins_folded=header.begins_folded,
    )


def _has_been_here(
    fields: Sequence[Field],
    recipients: Iterable[AcceptedRecipient],
    marker_keys: Callable[[], tuple[bytes, ...]],
) -> bool:
    """Whether the message bears the mark of a route that it is for."""
    if not any(field.name == _ROUTE_FIELD for field in fields):
        return False
    marks = opened_marks(fields, marker_keys())
    return any(
        passed_route(
            marks, tenant_id=one.tenant_id or 0, route_id=route_id or 0, recipient=one.address
        )
        for one in recipients
        for route_id in {delivery.route_id for delivery in one.deliveries}
    )
