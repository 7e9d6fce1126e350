"""Command lines out of what a client sends, whatever he sends."""

from typing import Final

OVERLONG: Final = b""
"""Stands for a line that was longer than any command may be; what it held is gone."""

LONGEST_LINE: Final = 1024


class LineBuffer:
    """Holds what was not read yet; one endless line costs no more memory than a long one."""

    __slots__ = ("_octets", "_searched", "_skipping")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._searched = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        self._octets += octets

    def take(self) -> bytes | None:
        """The next line with its end, `OVERLONG`, or None when there is no whole line yet."""
        octets = self._octets
        end = octets.find(b"\n", self._searched) + 1
        if end == 0:
            if len(octets) > LONGEST_LINE:
                self._skipping = True
                octets.clear()
            self._searched = len(octets)
            return None
        line = bytes(octets[:end])
        del octets[:end]
        self._searched = 0
        if self._skipping:
            self._skipping = False
            return OVERLONG
        return line

    def take_all(self) -> bytes:
        """Everything, for a reader that does not think in lines."""
        octets = bytes(self._octets)
        self.clear()
        return octets

    def clear(self) -> None:
        self._octets.clear()
        self._searched = 0
        self._skipping = False
