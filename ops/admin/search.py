"""What support types into a search box: read once, so that every box understands the same."""

import contextlib
import re
from dataclasses import dataclass
from uuid import UUID

from mail.address import canonical_domain, split_path
from mail.errors import MailError
from mail.trace import parse_trace_id

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.I).fullmatch
_TRACE = re.compile(r"[0-9A-Za-z-]{26,40}").fullmatch
_DOMAIN = re.compile(r"[^\s@]+\.[^\s@]+").fullmatch


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed: at most one of trace id, address and domain is set; `text` always is."""

    text: str
    trace_id: UUID | None = None
    address: str = ""
    """Local part as typed, domain as an A-label."""
    domain: str = ""

    @property
    def place(self) -> str:
        """The domain, of an address too."""
        return self.domain or self.address.rpartition("@")[2]


def read(typed: str) -> Wanted:
    """Trace id in any form (printed, with hyphens, UUID), `<address>`, domain, or plain words."""
    text = typed.strip()[:400]
    bare = re.sub(r"^(mailto:|id\s+|trace\s+)", "", text, flags=re.I).strip("<>(),;.\"' ")
    trace_id = _trace_id(bare)
    if trace_id is not None:
        return Wanted(text, trace_id=trace_id)
    with contextlib.suppress(MailError, ValueError):
        if "@" in bare:
            local_part = bare.rpartition("@")[0]
            return Wanted(text, address=f"{local_part}@{canonical_domain(split_path(bare)[1])}")
        if _DOMAIN(bare):
            return Wanted(text, domain=canonical_domain(bare))
    return Wanted(text)


def _trace_id(text: str) -> UUID | None:
    if _UUID(text):
        return UUID(text)
    with contextlib.suppress(MailError):
        return parse_trace_id(text) if _TRACE(text) else None
    return None
