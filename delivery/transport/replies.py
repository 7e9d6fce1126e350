"""Reads SMTP replies as they come (RFC 5321, 4.2), tolerant of everything but endless ones."""

import re
from dataclasses import dataclass

from mail.retry import OutcomeClass

LONGEST_REPLY = 2048
_LONGEST_LINE = 4096
_MOST_LINES = 500
_LINE = re.compile(rb"([2-5][0-9][0-9])([ -]?)(.*)", re.DOTALL)
_ENHANCED = re.compile(r"[2-5][0-9][0-9][ -]([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])")


class BadReply(Exception):
    """The next hop sent something that is no SMTP reply."""


@dataclass(frozen=True, slots=True)
class HopReply:
    """One reply: its code, and its lines verbatim joined by LF (at most 2 kB)."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        return self.code < 300

    @property
    def result(self) -> OutcomeClass:
        """2yz success; 5yz permanent; 4yz and what does not belong here transient."""
        return {2: OutcomeClass.SUCCESS, 5: OutcomeClass.PERMANENT}.get(
            self.code // 100, OutcomeClass.TRANSIENT
        )

    @property
    def enhanced(self) -> str:
        """The enhanced code of its first line (RFC 3463), or ""."""
        match = _ENHANCED.match(self.text)
        return match[1] if match else ""

    def lines(self) -> list[str]:
        """What stands after the codes."""
        return [line[4:] for line in self.text.split("\n")]


class ReplyReader:
    """Makes replies of octets; keeps what belongs to the next one."""

    __slots__ = ("_lines", "_octets", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._octets = 0

    @property
    def has_more(self) -> bool:
        """Whether octets came that belong to no finished reply."""
        return bool(self._rest or self._lines)

    def feed(self, octets: bytes) -> list[HopReply]:
        """The replies that these octets finish. Raises `BadReply`."""
        replies = []
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            reply = self._take(line.removesuffix(b"\r"))
            if reply is not None:
                replies.append(reply)
        if len(self._rest) > _LONGEST_LINE:
            raise BadReply("the next hop sent a line without end")
        return replies

    def _take(self, line: bytes) -> HopReply | None:
        match = _LINE.fullmatch(line[:_LONGEST_LINE])
        if match is None:
            raise BadReply("the next hop sent something that is no SMTP reply")
        if self._octets < LONGEST_REPLY:
            self._lines.append(line)
            self._octets += len(line) + 1
        elif match[2] == b"-":
            self._octets += 1
            if self._octets > LONGEST_REPLY + _MOST_LINES:
                raise BadReply("the next hop sent a reply without end")
        if match[2] == b"-":
            return None
        text = b"\n".join(self._lines)[:LONGEST_REPLY]
        self._lines, self._octets = [], 0
        return HopReply(int(match[1]), shown(text))


def shown(octets: bytes) -> str:
    """Text of any octets, with controls (but LF and TAB) as escapes."""
    text = octets.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1]
        for letter in text
    )
