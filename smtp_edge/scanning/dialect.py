"""What the three protocols have in common: a question, its answer, and why one is of no use."""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from mail.envelope import Envelope
from mail.scanning import ScanResult

MOST_ANSWER_OCTETS: Final = 1024 * 1024
_MOST_NAMES: Final = 50
_LONGEST_NAME: Final = 80
_MOST_SCORE: Final = 1_000_000.0
# What separates names in header fields, or would need quoting there.
_UNFIT: Final = frozenset(",;\"'\\<>()")


class Unusable(Exception):
    """An address gave no answer that we can use; the text says why, for the log and the tenant."""


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What scanners are told beside the octets.

    `client_name` is the verified reverse name of the client, "" when there is none; `trace` our own
    Received field, which SpamAssassin reads the client from.
    """

    envelope: Envelope
    recipients: tuple[str, ...]
    client_name: str = ""
    trace: bytes = b""


class Dialect(Protocol):
    """One scanner's protocol. Everything but `answer` is pure."""

    @property
    def name(self) -> str: ...

    @property
    def most_under_way(self) -> int:
        """Questions at the same time to one address, of one edge process."""

    @property
    def most_octets(self) -> int | None:
        """The largest message that it makes sense to ask about; None: as the operator says."""

    def opening(self, request: ScanRequest, size_octets: int) -> bytes:
        """What goes before the message of this size."""

    def framed(self, octets: bytes) -> bytes:
        """A piece of the message as it goes over the wire."""

    def ending(self) -> bytes:
        """What goes after it."""

    async def answer(self, reader: asyncio.StreamReader) -> ScanResult:
        """The verdict. Raises `Unusable`, `OSError`, `EOFError` or `LimitOverrunError`."""


def fit_names(names: list[str]) -> tuple[str, ...]:
    """Names made fit for fields and pages: printable ASCII in one word, fifty at most."""
    return tuple(_fit(name) for name in names[:_MOST_NAMES])


def _fit(name: str) -> str:
    shown = "".join("?" if _is_unfit(letter) else letter for letter in name[:_LONGEST_NAME])
    return shown or "?"


def _is_unfit(letter: str) -> bool:
    return not "!" <= letter <= "~" or letter in _UNFIT


def fit_score(score: float) -> float:
    """The score if it is one. Raises `Unusable` for what no scanner means seriously."""
    if not abs(score) <= _MOST_SCORE:  # also true of what is no number
        raise Unusable("its score is no number")
    return score


def one_line(text: str) -> bytes:
    """The text as the value of a field: whatever a stranger wrote, it ends no line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text).encode(
        "utf-8", "replace"
    )
