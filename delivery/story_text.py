"""What an event says, in words: the same for the terminal and for pages.

Strangers chose much of what is shown (HELO, subject, replies): everything passes `printable`, which
leaves no control character and no escape sequence, so that one event is what it seems to be.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from delivery.story import MoreRefusals, Waiting
from delivery.trust_words import decided_text, found_lines
from mail.events import Event, EventKind
from mail.trace import printable

_LONGEST = 2000
_STATUS = re.compile(r"([245])\.(\d{1,3})\.\d{1,3}", re.ASCII).fullmatch
# RFC 3463, 3: what a status code is about.
_SUBJECTS = {
    "1": "the address",
    "2": "the mailbox",
    "3": "the mail system there",
    "4": "the way there, or the network",
    "5": "how the servers talk to each other",
    "6": "the content of the message",
    "7": "security, or the receiver's policy",
}
TONES = {
    "delivered": "good",
    "accepted": "good",
    "deferred": "warn",
    "held": "warn",
    "dropped": "warn",
    "told": "good",
    "not told": "warn",
    "return": "warn",
    "returned": "bad",
    "refused": "bad",
    "failed": "bad",
    "deleted": "bad",
}
"""How a word of a story is meant: what colour adds, never says alone."""


def paragraphs(event: Event) -> Iterator[tuple[str, str]]:
    """What one event tells: a word for the margin, and a text; acceptance tells three things."""
    if event.kind is EventKind.ATTEMPTED:
        yield from _attempt(event)
        return
    if event.kind is EventKind.NOTICED and event.stage != "return":
        yield "told" if event.notice_id else "not told", _noticed(event)
        return
    if event.kind in (EventKind.NOTICED, EventKind.RETURNED):
        yield "returned" if event.kind is EventKind.RETURNED else "return", _returned(event)
        return
    if event.client_ip:
        yield "received", _received(event)
    if event.found:
        yield "checked", _checked(event)
    if event.kind is EventKind.REFUSED:
        yield "refused", _refused(event)
        return
    if event.trail or event.rule:
        yield "judged", _judged(event)
    if event.kind is EventKind.ACCEPTED:
        pairs = [f"{_path(recipient)} → {_path(where)}" for recipient, where in event.recipients]
        if event.outgoing_path:
            pairs.append(f"going out from {_path(event.outgoing_path)}")
        yield "accepted", "\n".join(pairs)
        return
    yield event.kind.value, _other(event)


def _received(event: Event) -> str:
    helo = f"HELO {printable(event.helo, 255)}" if event.helo else ""
    how = (f"from {printable(event.client_ip, 45)}", helo, printable(event.protocol, 20))
    lines = [", ".join(filter(None, how))]
    lines += [printable(event.tls, 120)] if event.tls else []
    lines.append(f"reverse-path {_path(event.reverse_path)}")
    lines += [f"author {printable(event.author, 320)}"] if event.author else []
    lines += [f"subject {printable(event.subject, _LONGEST)}"] if event.subject else []
    return "\n".join(lines)


def _checked(event: Event) -> str:
    """What was found about who wrote it, and what is in it."""
    lines = [f"{one.what}: {one.text}" for one in found_lines(event.found)]
    return "\n".join([*lines, decided_text(event.found)]).strip()


def _judged(event: Event) -> str:
    asked = f"rules asked: {', '.join(printable(rule, 60) for rule in event.trail)}"
    return f"{printable(event.reason, _LONGEST)}\n{asked}" if event.reason else asked


def _refused(event: Event) -> str:
    lines = [f"at {event.stage.upper()}"] if event.stage else []
    if event.recipient:
        lines[:1] = [" ".join((*lines[:1], _path(event.recipient)))]
    lines.append(f"we said: {printable(event.reply, _LONGEST)}")
    if event.rule:
        reason = f" ({printable(event.reason, _LONGEST)})" if event.reason else ""
        lines.append(f"because of the rule {printable(event.rule, 60)}{reason}")
    if event.trail:
        lines.append(f"rules asked: {', '.join(printable(rule, 60) for rule in event.trail)}")
    return "\n".join(lines)


def _attempt(event: Event) -> Iterator[tuple[str, str]]:
    if event.signed_by:
        yield "signed", "\n".join(printable(signer, 200) for signer in event.signed_by)
    lines = [f"{_path(event.recipient)} → {_path(event.destination)}"]
    hop = f" to {printable(event.next_hop, 255)}" if event.next_hop else ""
    queued = (
        f" after {duration_text(event.queued_seconds)} in the queue" if event.queued_seconds else ""
    )
    lines.append(f"attempt {event.attempt}{hop}{queued}")
    if event.reply:
        lines.append(f"it said: {printable(event.reply, _LONGEST)}")
    if (reason := _why(event)) != "":
        lines.append(f"reason: {reason}")
    if event.next_attempt_at:
        lines.append(f"next attempt at {_moment(event.next_attempt_at)}")
    yield event.outcome or "attempted", "\n".join(lines)


def _why(event: Event) -> str:
    """Why an attempt ended as it did; a bare status code in words, and of success nothing."""
    status = _STATUS(event.reason)
    if status is None:
        return printable(event.reason, _LONGEST)
    return "" if status[1] == "2" else f"{_SUBJECTS.get(status[2], 'other')} (status {status[0]})"


def _noticed(event: Event) -> str:
    """Whether the author heard of a failure or a delay."""
    about = f"{_path(event.recipient)} {printable(event.outcome, 20)}"
    if event.notice_id:
        return f"{about}: a DSN went to the author\nits trace id: {printable(event.notice_id, 40)}"
    return f"{about}: the author is not told\nreason: {printable(event.reason, _LONGEST)}"


def _returned(event: Event) -> str:
    """What came back after the next hop had taken the mail."""
    lines = [" → ".join(_path(one) for one in (event.recipient, event.destination) if one)]
    if event.outcome:
        lines.append(f"a return came in, it reads as: {printable(event.outcome, 20)}")
    if event.reply:
        lines.append(f"it said: {printable(event.reply, _LONGEST)}")
    if event.reason:
        lines.append(f"reason: {printable(event.reason, _LONGEST)}")
    if event.notice_id:
        lines.append(f"trace id of the return: {printable(event.notice_id, 40)}")
    return "\n".join(filter(None, lines))


def _other(event: Event) -> str:
    pair = " → ".join(_path(one) for one in (event.recipient, event.destination) if one)
    texts = (event.reply, event.reason)
    return "\n".join(filter(None, (pair, *(printable(text, _LONGEST) for text in texts)))) or "-"


def waiting_text(row: Waiting) -> str:
    lines = [f"{_path(row.recipient)} → {_path(row.destination)}"]
    if row.state in ("queued", "deferred"):
        due = row.next_attempt_at.astimezone(UTC)
        lines.append(f"{row.attempts} attempts so far, next at {due:%Y-%m-%d %H:%M:%S} UTC")
    if row.last_reply:
        lines.append(f"last reply: {printable(row.last_reply, _LONGEST)}")
    return "\n".join(lines)


def size_text(octets: int) -> str:
    if octets < 1000:
        return f"{octets} octets"
    return f"{octets / 1000:.1f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"


def duration_text(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _path(path: str) -> str:
    return f"<{printable(path, 320)}>" if path else "<>"


def _moment(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return printable(text, 60)


def more_refusals_text(more: MoreRefusals) -> str:
    domain = printable(more.domain, 255) or "domains not hosted here"
    hour = f"{more.hour.astimezone(UTC):%Y-%m-%d %H:00} UTC"
    return (
        f"and {more.count} more refusals to {printable(more.client_ip, 45)} for {domain}"
        f" in the hour from {hour}, counted only"
    )
