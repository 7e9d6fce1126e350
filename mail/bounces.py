"""Reads a return: what a stranger's mail system says about mail of ours that it did not deliver.

    the edge, a message at an SRS address  ->  read_return  ->  ReturnReport

In order: the report of RFC 3464 (with the quirks of those who nearly follow it), then the forms of
older and self-willed systems (qmail, Exchange, Exim, …) by flufl.bounce, then nothing. Everything
here is a stranger's word. Only the marks are proof, once `mail.marker` has opened them.

Work is bounded whatever comes: the first 128 KiB and 20 MIME boundaries are read, 32 KiB by the
detectors of the older forms.
"""

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from enum import Enum
from itertools import islice
from typing import Final

from flufl.bounce import all_failures

from mail.masking import Diagnosis, diagnose
from mail.message import header_fields, is_report, split_header_block, values

MAX_READ_OCTETS: Final = 128 * 1024
_MAX_DETECTED_OCTETS: Final = 32 * 1024
_MAX_BOUNDARIES: Final = 20
_MAX_PARTS: Final = 60
_MAX_MARKS: Final = 64
_MAX_TEXT_CHARACTERS: Final = 2_000
_MAX_LINE: Final = 1_000  # RFC 5322, 2.1.1; the detectors take quadratic time for a line

_LONG_LINE = re.compile(rf"([^\r\n]{{{_MAX_LINE}}})[^\r\n]++")
_BOUNDARY = re.compile(rb"boundary", re.IGNORECASE)
# Also quoted ("> ") and after the indentation of those who paste headers into their text.
_MARK = re.compile(
    rb"^[> \t]*x-mxax-route:[ \t]*+((?:[a-z0-9_-]++(?:\r?\n[> \t]+(?=[a-z0-9_-]+\s*$))?)+)",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTE = re.compile(rb"[>\s]+")
_MESSAGE_ID = re.compile(rb"^[> \t]*message-id:\s*+(<[!-;=?-~]{1,250}>)", re.I | re.MULTILINE)
_STATUS = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\d)")
_STATUS_FIELD = re.compile(r"^\s*(?:final-recipient|action|status)\s*:", re.I | re.MULTILINE)
_DIAGNOSTIC_TYPE = re.compile(r"\s*[\w-]{1,30}\s*;\s*")
_REPLY_LINE = re.compile(
    r"(?:^|[\s:(\[#\"'])([45]\d\d[ -]+#?[245]\.\d{1,3}\.\d{1,3}\b.*|[45]\d\d[ -]+\S.*|"
    r"#?[245]\.\d{1,3}\.\d{1,3}(?![\d.]).*)",
    re.MULTILINE,
)
_COPY_BEGINS = re.compile(
    r"^(?:-{2,}.{0,30}"
    r"(?:copy of|below this line|original message|returned|headers? (?:are|follow)).*"
    r"|return-path:\s.*|received:\s.*)$",
    re.I | re.MULTILINE,
)
_VACATION_FIELDS = frozenset(
    b"x-autoreply x-autorespond x-autoresponder x-vacation x-auto-response-suppress".split()
)
_VACATION_SUBJECT = re.compile(
    rb"^(?:re:\s*)?(?:auto(?:matic|-|mated|matische)?\s*(?:reply|response|antwort)|"
    rb"out of (?:the )?office|abwesen|r\xc3\xa9ponse automatique|vacation|away from)",
    re.IGNORECASE,
)
# What third-party detectors and the standard library's parser raise on hostile input.
_BROKEN = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError,
)  # fmt: skip


class ReturnKind(Enum):
    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    """Delivered, relayed or expanded: a success that nobody asked for."""
    AUTO_REPLY = "auto-reply"
    """A vacation reply, a challenge, a receipt: a machine's answer, not a report of delivery."""
    UNKNOWN = "unknown"


class ReturnForm(Enum):
    """How it was recognised."""

    REPORT = "RFC 3464"
    OLDER = "flufl.bounce"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ReturnReport:
    """What a return says. `diagnostic` is the next hop's text, for the tenant's log only.

    `status` is an enhanced code or "". `marks` are values of our route field found anywhere in it,
    from the top, not yet opened. `original_message_id` is b"" when none was found.
    """

    kind: ReturnKind
    form: ReturnForm
    status: str = ""
    diagnostic: str = ""
    original_message_id: bytes = b""
    marks: tuple[bytes, ...] = ()

    @property
    def is_report(self) -> bool:
        """Whether it tells of a delivery at all."""
        return self.kind in (ReturnKind.FAILED, ReturnKind.DELAYED, ReturnKind.DELIVERED)

    @property
    def is_delayed(self) -> bool:
        return self.kind is ReturnKind.DELAYED

    @property
    def is_auto_reply(self) -> bool:
        return self.kind is ReturnKind.AUTO_REPLY

    @property
    def diagnosis(self) -> Diagnosis:
        """What it means, without any of its text: fit for the original's author."""
        general = "5.0.0" if self.kind is ReturnKind.FAILED else ""
        return diagnose(_with_status(self.diagnostic, self.status or general))


@dataclass(frozen=True, slots=True)
class _Finding:
    kind: ReturnKind
    form: ReturnForm
    status: str = ""
    diagnostic: str = ""


_NOTHING = _Finding(ReturnKind.UNKNOWN, ReturnForm.NONE)


def read_return(octets: bytes) -> ReturnReport:
    """What a return says, and the marks of ours in it. Never raises, whatever the octets are."""
    head = _bounded(octets)
    message = _parsed(head)
    leaves = tuple(_leaves(message)) if message else ()
    found = _standard(leaves) or _receipt(leaves) or _auto_reply(head) or _older(head) or _NOTHING
    returned = head[split_header_block(head) :] + b"\r\n".join(_decoded(leaves))
    return ReturnReport(
        found.kind,
        found.form,
        found.status,
        found.diagnostic[:_MAX_TEXT_CHARACTERS],
        _original_message_id(returned),
        _marks(returned),
    )


def _bounded(octets: bytes) -> bytes:
    """The beginning, cut where boundaries become too many: each one open costs at every line."""
    head = octets[:MAX_READ_OCTETS]
    for found in islice(_BOUNDARY.finditer(head), _MAX_BOUNDARIES, None):
        return head[: found.start()]
    return head


def _parsed(head: bytes) -> Message | None:
    try:
        return email.message_from_bytes(head)
    except _BROKEN:
        return None


def _leaves(message: Message) -> Iterator[Message]:
    """Parts that hold text, and the blocks of a delivery status, in order."""
    try:
        yield from islice(message.walk(), _MAX_PARTS)
    except _BROKEN:
        return


def _standard(parts: tuple[Message, ...]) -> _Finding | None:
    """The report of RFC 3464: the first recipient that something is said about decides."""
    for part in parts:
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
            for block in _status_blocks(part):
                found = _recipient_block(block)
                if found is not None:
                    return found
    return None


def _status_blocks(part: Message) -> list[Message]:
    """The field blocks of a status part, also of one that came encoded or as plain text."""
    payload = part.get_payload()
    blocks = (
        [block for block in payload if isinstance(block, Message)]
        if isinstance(payload, list)
        else []
    )
    if any(block["action"] or block["status"] for block in blocks):
        return blocks
    text = _text(part) or "\n\n".join(_text(block) for block in blocks)
    if not _STATUS_FIELD.search(text):
        return blocks
    pieces = re.split(r"\r?\n[ \t]*\r?\n", text)
    return [email.message_from_string(piece.strip() + "\n\n") for piece in pieces[:_MAX_PARTS]]


def _recipient_block(block: Message) -> _Finding | None:
    action = str(block.get("action", "")).strip().lower()
    diagnostic = _DIAGNOSTIC_TYPE.sub("", _unfolded(block.get("diagnostic-code", "")), count=1)
    given = _STATUS.match(str(block.get("status", "")))
    status = given[1] if given else ""
    kind = _kind_of(action, status or diagnose(diagnostic).enhanced if diagnostic or status else "")
    if kind is ReturnKind.UNKNOWN:
        return None
    return _Finding(kind, ReturnForm.REPORT, status, diagnostic)


def _kind_of(action: str, status: str) -> ReturnKind:
    """The action's first letters: there are comments after it, and `error` instead of `failed`."""
    if action.startswith(("fail", "error", "bounce")):
        return ReturnKind.FAILED
    if action.startswith("delay"):
        return ReturnKind.DELAYED
    if action.startswith(("deliver", "relay", "expand")):
        return ReturnKind.DELIVERED
    if action or not status:
        return ReturnKind.UNKNOWN
    classes = {"2": ReturnKind.DELIVERED, "4": ReturnKind.DELAYED, "5": ReturnKind.FAILED}
    return classes[status[0]]


def _receipt(parts: tuple[Message, ...]) -> _Finding | None:
    """A disposition notification (RFC 8098): the reader's program answers, nothing has failed."""
    kinds = {part.get_content_type() for part in parts}
    if "message/disposition-notification" not in kinds:
        return None
    return _Finding(ReturnKind.AUTO_REPLY, ReturnForm.REPORT)


def _auto_reply(head: bytes) -> _Finding | None:
    """A machine's answer (RFC 3834). Reports have been recognised before; they say the same."""
    fields = header_fields(head[: split_header_block(head)])
    if is_report(fields):
        return None
    marked = any(
        field.name in _VACATION_FIELDS
        or (field.name == b"auto-submitted" and b"auto-replied" in field.value.lower())
        or (field.name == b"precedence" and b"auto_reply" in field.value.lower())
        or (field.name == b"subject" and _VACATION_SUBJECT.match(field.value))
        for field in fields
    )
    from_daemon = any(b"mailer-daemon" in value.lower() for value in values(fields, b"from"))
    failed = bool(values(fields, b"x-failed-recipients"))
    if not marked or from_daemon or failed:
        return None
    return _Finding(ReturnKind.AUTO_REPLY, ReturnForm.NONE)


def _older(head: bytes) -> _Finding | None:
    """The forms that flufl.bounce knows; code and text are looked for in the words."""
    message = _parsed(head[:_MAX_DETECTED_OCTETS])
    if message is None:
        return None
    try:
        _cut_lines(message)
        delayed, failed = all_failures(message)
    except _BROKEN:
        return None
    if not delayed and not failed:
        return None
    diagnostic = _spoken_reply(message)
    given = _STATUS.match(diagnose(diagnostic).enhanced) if diagnostic else None
    status = given[1] if given and not given[1].endswith(".0.0") else ""
    lasting = failed and not diagnostic.startswith("4") and not status.startswith("4")
    kind = ReturnKind.FAILED if lasting else ReturnKind.DELAYED
    return _Finding(kind, ReturnForm.OLDER, status, diagnostic)


def _cut_lines(message: Message) -> None:
    """Cut what is behind the longest line that mail may have, in whatever form a part came."""
    for part in _leaves(message):
        text = _text(part)
        cut = _LONG_LINE.sub(r"\1", text)
        if cut != text:
            del part["content-transfer-encoding"]
            part.set_payload(cut)


def _spoken_reply(message: Message) -> str:
    """The first text that looks like a reply, in the words before the copy of the original."""
    for part in _leaves(message):
        if part.get_content_maintype() != "text" and not part.get_content_type().startswith("text"):
            continue
        text = _text(part)
        copy = _COPY_BEGINS.search(text)
        reply = _REPLY_LINE.search(text[: copy.start()] if copy else text)
        return reply[1].strip() if reply else text[: copy.start() if copy else None].strip()
    return ""


def _decoded(parts: tuple[Message, ...]) -> Iterator[bytes]:
    """The parts that came encoded: marks and Message-ID cannot be seen in them as they are."""
    for part in parts:
        encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
        if encoding in ("base64", "quoted-printable") and not part.is_multipart():
            yield _text(part).encode("utf-8", "replace")


def _text(part: Message) -> str:
    if part.is_multipart():
        return ""
    try:
        payload = part.get_payload(decode=True)
    except _BROKEN:
        return ""
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload or "")


def _marks(returned: bytes) -> tuple[bytes, ...]:
    found = islice(_MARK.finditer(returned), _MAX_MARKS)
    return tuple(dict.fromkeys(_QUOTE.sub(b"", mark[1]) for mark in found))


def _original_message_id(returned: bytes) -> bytes:
    """The first Message-ID after the return's own header."""
    found = _MESSAGE_ID.search(returned)
    return found[1] if found else b""


def _unfolded(value: object) -> str:
    return " ".join(str(value).split())


def _with_status(diagnostic: str, status: str) -> str:
    """The text with the status in it where it has no enhanced code of its own."""
    if not status or diagnose(diagnostic).enhanced == status:
        return diagnostic or status
    basic = re.match(r"\s*([45]\d\d)[ -]", diagnostic)
    if basic and basic[1][0] == status[0]:
        return f"{basic[1]} {status} {diagnostic[basic.end() :]}"
    return f"{status} {diagnostic}"
