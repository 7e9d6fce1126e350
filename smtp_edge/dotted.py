"""The octets of one DATA, from the wire to what the author wrote (RFC 5321, 4.5.2).

    feed(octets)        what arrived; gives back what follows the end of data
    take(piece_octets)  the next clear octets, dots removed, CRLF never torn apart

End of data is CRLF "." CRLF and nothing else: CR, LF and NUL on their own are remembered as
`broken`, so that the message is refused as a whole at its true end, however many ends of other
kinds it pretends to have (CVE-2023-51764 and its relatives). Nothing here loops over lines.
"""

import io

from mail.search import holds

_END = b"\r\n.\r\n"
_DOT_FIRST = b"\r\n."
_CRLF = b"\r\n"
_ONLY_CRLF = (None, _CRLF.decode())


class DottedOctets:
    """Takes the octets of one message apart from the dialog around it."""

    __slots__ = ("_discarding", "_end", "_prefix", "_raw", "_searched", "broken", "taken_octets")

    def __init__(self) -> None:
        # The CRLF that ended the DATA line may also begin the end of data.
        self._raw = bytearray(_CRLF)
        self._prefix = 2
        self._searched = 0
        self._end = -1
        self._discarding = False
        self.broken = False
        self.taken_octets = 0

    @property
    def ended(self) -> bool:
        return self._end >= 0

    @property
    def waiting_octets(self) -> int:
        """How much could be taken, as it stands on the wire."""
        return len(self._raw) - self._prefix

    def feed(self, octets: bytes) -> bytes:
        """Add what arrived; gives what follows the end of data, usually nothing."""
        raw = self._raw
        raw += octets
        if not holds(bytes(memoryview(raw)[self._searched :]), _END):
            self._searched = max(0, len(raw) - len(_END) + 1)
            if self._discarding:
                self._forget()
            return b""
        found = raw.find(_END, self._searched)
        self._end = found + len(_CRLF)
        rest = bytes(raw[found + len(_END) :])
        del raw[self._end :]
        return rest

    def discard(self) -> None:
        """Keep nothing from now on: the message is refused, only its end matters."""
        self._discarding = True
        if not self.ended:
            self._forget()

    def take(self, piece_octets: int) -> bytes:
        """The next clear octets: all when the data ended and fits, else about `piece_octets`."""
        raw = self._raw
        cut = len(raw) if self.ended and self.waiting_octets <= piece_octets else 0
        wire = bytes(raw[: cut or self._cut(piece_octets)])
        del raw[: len(wire)]
        self._searched = max(0, self._searched - len(wire))
        clear = self._clear(wire)
        self.taken_octets += len(clear)
        return clear

    def _clear(self, wire: bytes) -> bytes:
        """The wire form without the dots that were added, and a look at its line ends."""
        if b"\0" in wire or not _ends_in_crlf_only(wire):
            self.broken = True
        clear = wire.replace(_DOT_FIRST, _CRLF) if holds(wire, _DOT_FIRST) else wire
        prefix, self._prefix = self._prefix, 0
        return clear[prefix:]

    def _cut(self, piece_octets: int) -> int:
        """Where to cut: never inside CRLF, nor between CRLF and what may be a dot."""
        raw, cut = self._raw, self._prefix + piece_octets
        if raw[cut - 1 : cut] == b"\r":
            return cut - 1
        if raw[cut - 2 : cut] == _CRLF:
            return cut - 2
        return cut

    def _forget(self) -> None:
        kept = len(_END) - 1
        del self._raw[:-kept]
        self._searched = 0


def _ends_in_crlf_only(octets: bytes) -> bool:
    """Whether no CR and no LF stands on its own: half of what two searches for them cost."""
    lines = io.IncrementalNewlineDecoder(None, translate=False)
    lines.decode(octets.decode("latin-1"), final=True)
    return lines.newlines in _ONLY_CRLF
