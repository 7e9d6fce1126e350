"""The octets of one message until the scanners have had them.

A small message stays in memory. Of a larger one the rest goes to a file without a name, sealed with
a key that only this object has: nothing readable lies on a disk, and nothing is left behind by a
process that dies. The disk is written and read in threads, a piece at a time.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

IN_MEMORY_OCTETS: Final = 512 * 1024
PIECE_OCTETS: Final = 256 * 1024


class SpoolLost(Exception):
    """The octets cannot be read back: no fault of the scanner that was to have them."""


class _Nameless:
    """A file that nobody else can open; it is gone with the last who holds it, be it a thread."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def made_in(cls, folder: Path | None) -> "_Nameless":
        number, name = tempfile.mkstemp(prefix="mxax-scan-", dir=folder)
        file = cls(number)
        os.unlink(name)
        return file

    def __del__(self) -> None:
        os.close(self.number)


class Spool:
    """Written once, then read as often as need be. `add` raises `OSError` when the disk does."""

    __slots__ = ("_cipher", "_file", "_folder", "_head", "_head_octets", "_sealing", "size_octets")

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._head: list[bytes] = []
        self._head_octets = 0
        self._file: _Nameless | None = None
        self._cipher: Cipher[modes.CTR] | None = None
        self._sealing: CipherContext | None = None
        self.size_octets = 0

    async def add(self, octets: bytes) -> None:
        """Returns when the octets are kept."""
        self.size_octets += len(octets)
        if self._file is None and self.size_octets <= IN_MEMORY_OCTETS:
            self._head.append(octets)
            self._head_octets += len(octets)
        else:
            await asyncio.to_thread(self._write, octets)

    def _write(self, octets: bytes) -> None:
        if self._file is None:
            self._file = _Nameless.made_in(self._folder)
            # One key for one stream, so the counter may begin at zero.
            self._cipher = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(bytes(16)))
            self._sealing = self._cipher.encryptor()
        assert self._sealing is not None
        file, sealed = self._file, memoryview(self._sealing.update(octets))
        while sealed:
            sealed = sealed[os.write(file.number, sealed) :]

    async def pieces(self) -> AsyncIterator[bytes]:
        """All octets in order. Several may read at the same time. Raises `SpoolLost`."""
        for octets in tuple(self._head):
            yield octets
        file = self._file
        if file is None or self._cipher is None:
            return
        opening, position = self._cipher.decryptor(), 0
        while self._head_octets + position < self.size_octets:
            octets = await asyncio.to_thread(_read, file, opening, position)
            position += len(octets)
            yield octets

    def close(self) -> None:
        """Forget the octets, apart from those that are being read; more than once is fine."""
        self._head.clear()
        self._file = None


def _read(file: _Nameless, opening: CipherContext, position: int) -> bytes:
    try:
        octets = os.pread(file.number, PIECE_OCTETS, position)
    except OSError as error:
        raise SpoolLost(error.strerror) from None
    if not octets:
        raise SpoolLost("the file is cut off")
    return opening.update(octets)
