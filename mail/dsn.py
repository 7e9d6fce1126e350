"""Our delivery status notifications (RFC 3464, RFC 6522, RFC 6533), made of our own words.

    who calls            what comes in                                what goes out
    the sending loop     DsnFacts, the header block as received       a whole unsigned message, CRLF
    the reading of       DsnFacts, the proved fields of the original  the same
    returns

What a DSN of ours tells: the address the author wrote, codes and words of ours (mail/masking.py),
the header of the original as it was before it came to us. What it does not know it cannot tell:
no destination, no next hop, no text of anyone comes into this module. The body of the original is
never sent back, so that a DSN carries no stranger's message anywhere.

Everything is 7-bit. Only where the author's own address needs SMTPUTF8 to be reached at all are
header and status in UTF-8 (message/global-delivery-status); elsewhere a recipient beyond ASCII is
written as RFC 6533, 3 has it for 7-bit paths: `utf-8; \\x{e4}da@example.org`.
"""

import hashlib
import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from uuid import UUID

from mail.address import NULL_PATH
from mail.dsn_policy import NoticeKind
from mail.errors import BadAddress
from mail.masking import Diagnosis
from mail.message import CRLF, Field, first_value, header_fields, split_header_block
from mail.trace import ROUTE_FIELD, format_trace_id

MAX_RETURNED_OCTETS: Final = 50_000
MAILER_DAEMON: Final = "mailer-daemon"

_PLAIN_LINES = re.compile(rb"(?>(?:[\x01-\x09\x0b\x0c\x0e-\x7f]{0,998}+\r\n)*)")
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,250}>")
_DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_SAFE_PATH = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,320}")
_OWN_FIELDS = re.compile(rb"(?i)by\s+([a-z0-9.-]+)")
_ROUTE_NAME: Final = ROUTE_FIELD.lower()


@dataclass(frozen=True, slots=True)
class AffectedRecipient:
    """One recipient that was not reached; `recipient` as the author wrote it.

    `retry_until` only for a delay (RFC 3464, 2.3.9).
    """

    recipient: str
    diagnosis: Diagnosis
    last_attempt_at: datetime | None = None
    retry_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DsnFacts:
    """What a DSN is made of. `message_id` is the DSN's own, with angle brackets; times are aware.

    `reverse_path` is the original's, in wire form and not null; `original_header` the header block
    as received (`header_as_received`), or the few fields of it that a return proves.
    """

    service_domain: str
    reverse_path: str
    message_id: str
    now: datetime
    trace_id: UUID
    arrived_at: datetime
    recipients: tuple[AffectedRecipient, ...]
    original_header: bytes = b""


def failure_dsn(facts: DsnFacts) -> bytes:
    """The DSN which says that mail could not be delivered. Raises `BadAddress` for unsafe paths."""
    return _dsn(facts, NoticeKind.FAILURE)


def delay_dsn(facts: DsnFacts) -> bytes:
    """The DSN which says that mail still waits. Raises `BadAddress` for unsafe paths."""
    return _dsn(facts, NoticeKind.DELAY)


def header_as_received(stored: bytes, service_domain: str) -> bytes:
    """The header block of stored content without anything that we put there, blank line excluded.

    Everything down to our lowest mark or Received field goes: what came between two of our hops
    may name where a route leads. At most 50,000 octets, whole fields, none with a line that mail
    cannot hold.
    """
    fields = header_fields(stored[: split_header_block(stored)])
    own = [number for number, field in enumerate(fields) if _is_ours(field, service_domain)]
    kept, size = [], 0
    for field in fields[own[-1] + 1 if own else 0 :]:
        size += len(field.raw)
        if size > MAX_RETURNED_OCTETS:
            break
        if field.name and field.raw.endswith(CRLF):
            kept.append(field.raw)
    return b"".join(kept)


def original_message_id(header: bytes) -> bytes:
    """The Message-ID of a header block when it is one that can be referred to, else b""."""
    value = first_value(header_fields(header), b"message-id") or b""
    return value if _MESSAGE_ID.fullmatch(value) else b""


def _is_ours(field: Field, service_domain: str) -> bool:
    if field.name == _ROUTE_NAME:
        return True
    if field.name != b"received":
        return False
    found = _OWN_FIELDS.search(field.value)
    return found is not None and found[1].lower().rstrip(b".") == service_domain.encode()


def _dsn(facts: DsnFacts, kind: NoticeKind) -> bytes:
    _check(facts)
    utf8 = not facts.reverse_path.isascii()
    parts = (
        _text_part(_explanation(facts, kind)),
        _status_part(facts, kind, utf8=utf8),
        _original_part(facts.original_header, utf8=utf8),
    )
    # A hash over the parts cannot stand in one of them.
    boundary = b"=_" + hashlib.sha256(b"".join(parts)).hexdigest()[:40].encode()
    opened = b"".join(b"--" + boundary + CRLF + part + CRLF for part in parts)
    return _header(facts, kind, boundary) + CRLF + opened + b"--" + boundary + b"--" + CRLF


def _check(facts: DsnFacts) -> None:
    """Raise for anything that could end a line; the callers' values are checked long before."""
    paths = (facts.reverse_path, *(one.recipient for one in facts.recipients))
    if facts.reverse_path == NULL_PATH or any(not _SAFE_PATH.fullmatch(path) for path in paths):
        raise BadAddress("no path that a DSN could name")
    if not _DOMAIN.fullmatch(facts.service_domain):
        raise BadAddress("no domain that a DSN could come from")
    if not _MESSAGE_ID.fullmatch(facts.message_id.encode()):
        raise BadAddress("no Message-ID that a DSN could have")


def _header(facts: DsnFacts, kind: NoticeKind, boundary: bytes) -> bytes:
    failed = kind is NoticeKind.FAILURE
    lines = [
        f"From: Mail Delivery System <{MAILER_DAEMON}@{facts.service_domain}>",
        f"To: <{facts.reverse_path}>",
        f"Subject: {'Your mail could not be delivered' if failed else 'Your mail is delayed'}",
        f"Date: {format_datetime(facts.now)}",
        f"Message-ID: {facts.message_id}",
        *_thread(facts.original_header),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'\tboundary="{boundary.decode()}"',
        "Content-Transfer-Encoding: " + ("7bit" if facts.reverse_path.isascii() else "8bit"),
    ]
    return _lines(lines)


def _thread(header: bytes) -> list[str]:
    message_id = original_message_id(header).decode("ascii", "ignore")
    return [f"In-Reply-To: {message_id}", f"References: {message_id}"] if message_id else []


def _explanation(facts: DsnFacts, kind: NoticeKind) -> list[str]:
    failed = kind is NoticeKind.FAILURE
    lines = [
        f"This is the mail system at {facts.service_domain}.",
        "",
        "Your mail could not be delivered to:" if failed else "Your mail still waits for:",
        "",
    ]
    for one in facts.recipients:
        lines += [f"  <{one.recipient}>", f"    {one.diagnosis.meaning.value}"]
        lines += [f"    (status {_status(one)})", ""]
    lines += [
        "We will not try again." if failed else "We keep trying. You need not send it again.",
        *_deadline(facts.recipients),
        "",
        f"It came to us on {format_datetime(facts.arrived_at)}.",
        f"Our reference, should you ask us about it: {format_trace_id(facts.trace_id)}",
    ]
    return lines


def _deadline(recipients: Sequence[AffectedRecipient]) -> list[str]:
    ends = [one.retry_until for one in recipients if one.retry_until is not None]
    return [f"If nothing helps we give up on {format_datetime(max(ends))}."] if ends else []


def _text_part(lines: Sequence[str]) -> bytes:
    body = _lines(lines)
    if body.isascii():
        head = ["Content-Type: text/plain; charset=us-ascii", "Content-Transfer-Encoding: 7bit"]
    else:
        head = ["Content-Type: text/plain; charset=utf-8", _QUOTED_PRINTABLE]
        body = _quoted_printable(body)
    return _lines([*head, "Content-Language: en", "Content-Description: Notification", ""]) + body


def _status_part(facts: DsnFacts, kind: NoticeKind, *, utf8: bool) -> bytes:
    head = [
        f"Content-Type: message/{'global-' if utf8 else ''}delivery-status",
        f"Content-Transfer-Encoding: {'8bit' if utf8 else '7bit'}",
        "Content-Description: Delivery report",
        "",
    ]
    per_message = [
        f"Reporting-MTA: dns; {facts.service_domain}",
        f"Arrival-Date: {format_datetime(facts.arrived_at)}",
        f"X-Mxax-Trace: {format_trace_id(facts.trace_id)}",
    ]
    blocks = [_recipient_block(one, kind, utf8=utf8) for one in facts.recipients]
    lines = per_message + [line for block in blocks for line in ("", *block)]
    return _lines(head + lines)


def _recipient_block(one: AffectedRecipient, kind: NoticeKind, *, utf8: bool) -> list[str]:
    shown = one.recipient if utf8 else _ascii_address(one.recipient)
    kind_of_address = "rfc822" if one.recipient.isascii() else "utf-8"
    lines = [
        f"Final-Recipient: {kind_of_address}; {shown}",
        f"Action: {kind.value}",
        f"Status: {_status(one)}",
        f"Diagnostic-Code: {one.diagnosis.diagnostic_code(shown)}",
    ]
    if one.last_attempt_at is not None:
        lines.append(f"Last-Attempt-Date: {format_datetime(one.last_attempt_at)}")
    if one.retry_until is not None and kind is NoticeKind.DELAY:
        lines.append(f"Will-Retry-Until: {format_datetime(one.retry_until)}")
    return lines


def _status(one: AffectedRecipient) -> str:
    return one.diagnosis.enhanced


def _ascii_address(address: str) -> str:
    """The address as RFC 6533, 3 writes it where only ASCII passes (utf-8-addr-xtext)."""
    if address.isascii():
        return address
    return "".join(
        letter if "!" <= letter <= "~" and letter not in "\\+=" else f"\\x{{{ord(letter):X}}}"
        for letter in address
    )


def _original_part(header: bytes, *, utf8: bool) -> bytes:
    plain = _PLAIN_LINES.fullmatch(header) is not None
    encoding = "Content-Transfer-Encoding: 7bit" if plain else _QUOTED_PRINTABLE
    kind = "message/global-headers" if utf8 and not plain else "text/rfc822-headers"
    head = [f"Content-Type: {kind}", encoding, "Content-Description: Header of your mail", ""]
    return _lines(head) + (header if plain else _quoted_printable(header))


_QUOTED_PRINTABLE: Final = "Content-Transfer-Encoding: quoted-printable"


def _quoted_printable(octets: bytes) -> bytes:
    # quopri lets a bare CR through.
    encoded = quopri.encodestring(octets.replace(CRLF, b"\n")).replace(b"\r", b"=0D")
    return encoded.replace(b"\n", CRLF)


def _lines(lines: Sequence[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n").encode()
