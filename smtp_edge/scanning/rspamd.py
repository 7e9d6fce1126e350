"""rspamd: POST /checkv2 with the envelope in fields, the verdict as JSON (its "protocol" page).

It says nothing of ours: fields to add and the like are left alone, the tenant's policy decides by
score. `soft reject` means that it wants to see the message later, for whatever reason: that is
FAILED without a fault of the address, and the tenant's choice what follows.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

from mail.scanning import ScanOutcome, ScanResult
from mail.trace import format_trace_id
from smtp_edge.scanning.dialect import ScanRequest, Unusable, fit_names, fit_score, one_line
from smtp_edge.scanning.http_answer import read_body

_MOST_RECIPIENTS: Final = 50
_SPAM_ACTIONS: Final = frozenset(
    ("reject", "add header", "rewrite subject", "quarantine", "discard")
)
_OTHER_ACTIONS: Final = frozenset(("no action", "greylist"))


class Rspamd:
    """`password` is that of its normal worker, where one is set."""

    name = "rspamd"
    most_under_way = 50
    most_octets = None

    def __init__(self, password: str = "") -> None:
        self._password = password

    def opening(self, request: ScanRequest, size_octets: int) -> bytes:
        lines = [
            b"POST /checkv2 HTTP/1.1",
            b"Host: rspamd",
            b"Connection: close",
            b"Content-Type: application/octet-stream",
            b"Content-Length: %d" % size_octets,
        ]
        lines += [name + b": " + one_line(value) for name, value in self._facts(request)]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _facts(self, request: ScanRequest) -> Iterator[tuple[bytes, str]]:
        client = request.envelope.client
        yield b"IP", client.ip.partition("%")[0]
        yield b"Helo", client.helo
        yield b"Hostname", request.client_name or "unknown"
        yield b"From", f"<{request.envelope.reverse_path}>"
        for recipient in request.recipients[:_MOST_RECIPIENTS]:
            yield b"Rcpt", f"<{recipient}>"
        yield b"Queue-Id", format_trace_id(request.envelope.trace_id)
        if self._password:
            yield b"Password", self._password

    def framed(self, octets: bytes) -> bytes:
        return octets

    def ending(self) -> bytes:
        return b""

    async def answer(self, reader: asyncio.StreamReader) -> ScanResult:
        return read_verdict(await read_body(reader))


def read_verdict(body: bytes) -> ScanResult:
    """Of the JSON of an answer. Raises `Unusable`."""
    found = _object(body)
    action = found.get("action")
    # Also said of what is judged without rules, such as GTUBE: then the action counts.
    if found.get("is_skipped") is True and action == "no action":
        return ScanResult(Rspamd.name, ScanOutcome.SKIPPED, reason="rspamd is told to skip it")
    if action == "soft reject":
        return ScanResult(Rspamd.name, ScanOutcome.FAILED, reason="rspamd asks to try again later")
    if not isinstance(action, str) or action not in _SPAM_ACTIONS | _OTHER_ACTIONS:
        raise Unusable("names no action that we know")
    return ScanResult(
        Rspamd.name,
        ScanOutcome.SPAM if action in _SPAM_ACTIONS else ScanOutcome.CLEAN,
        score=_number(found, "score"),
        threshold=_threshold(found),
        names=_symbols(found.get("symbols")),
        reason=action,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable("its answer is no JSON that we can read") from None
    if not isinstance(found, dict):
        raise Unusable("its answer is no JSON object")
    return found


def _number(found: dict[str, Any], name: str) -> float:
    number = found.get(name)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise Unusable("its score is no number")
    try:
        return fit_score(float(number))
    except OverflowError:
        raise Unusable("its score is no number") from None


def _threshold(found: dict[str, Any]) -> float:
    """From where on it is spam, which is lower than `required_score`, where rspamd rejects."""
    thresholds = found.get("thresholds")
    if isinstance(thresholds, dict) and "add header" in thresholds:
        return _number(thresholds, "add header")
    return _number(found, "required_score")


def _symbols(found: object) -> tuple[str, ...]:
    """Names, those first that moved the score most."""
    if not isinstance(found, dict):
        return ()
    return fit_names(sorted(found, key=lambda name: -_weight(found[name])))


def _weight(symbol: object) -> float:
    score = symbol.get("score") if isinstance(symbol, dict) else None
    if isinstance(score, bool) or not isinstance(score, int | float) or score != score:
        return 0.0
    return abs(score)
