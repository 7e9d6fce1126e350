"""The octets of a message as they travel: dot-stuffed, ended by a dot (RFC 5321, 4.5.2)."""

from collections.abc import Iterable, Iterator

from mail.search import holds

_CRLF = b"\r\n"


def wire_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, cut anywhere, with a dot before each dot that begins a line, then the end.

    A message that does not end in CRLF gets one: the end of data needs it.
    """
    before = _CRLF
    for piece in pieces:
        if not piece:
            continue
        yield _stuffed(piece, before)
        before = (before + piece[-2:])[-2:]
    yield b".\r\n" if before == _CRLF else b"\r\n.\r\n"


def _stuffed(piece: bytes, before: bytes) -> bytes:
    """The piece dot-stuffed; `before` are the two octets that precede it."""
    if holds(piece, b"\n."):
        piece = piece.replace(b"\r\n.", b"\r\n..")
        if before[-1:] == b"\r" and piece[:2] == b"\n.":
            return b"\n." + piece[1:]
    if before == _CRLF and piece[:1] == b".":
        return b"." + piece
    return piece
