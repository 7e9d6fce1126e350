"""The PROXY protocol, versions 1 and 2: who is behind the proxy that connects to us.

    reader = ProxyReader()
    reader.feed(octets)  ->  None            more octets are needed
                             ProxyHeader     the client, as the proxy saw him
                             ProxyLocal      the proxy speaks for itself, or of no address of ours
                             ProxyBad        not the protocol: close

A pure parser, fed as octets come. `rest` is what came behind the header: it is the client's. Only
peers that the operator trusts are asked for a header; from anybody else it is a command that
nobody knows. The source is HAProxy's proxy-protocol.txt of 2020-03-05 (sections 2.1 and 2.2).

| what | becomes |
|---|---|
| v1 `TCP4`, `TCP6`; v2 stream over IPv4, IPv6 | `ProxyHeader` |
| v1 `UNKNOWN`; v2 `LOCAL`; v2 of no address, of datagrams, of Unix sockets | `ProxyLocal` |
| anything else; a v1 line of more than 107 octets; addresses or TLVs that do not fit | `ProxyBad` |
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
LONGEST_V1: Final = 107
_V1_START: Final = b"PROXY "
_V2_FIXED: Final = 16
_ADDRESS_OCTETS: Final = {1: 4, 2: 16}
_BLOCK_OCTETS: Final = {0: 0, 1: 12, 2: 36, 3: 216}
_STREAM: Final = 1
_MOST_PROTOCOL: Final = 2


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The client's own address and port."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class ProxyLocal:
    """The connection counts as what it is: one of the proxy's."""


@dataclass(frozen=True, slots=True)
class ProxyBad:
    reason: str


LOCAL: Final = ProxyLocal()
Said = ProxyHeader | ProxyLocal | ProxyBad


class ProxyReader:
    """One header. `feed` must not be called again once it gave something."""

    __slots__ = ("_octets", "rest")

    def __init__(self) -> None:
        self._octets = b""
        self.rest = b""
        """What came behind the header."""

    def feed(self, octets: bytes) -> Said | None:
        self._octets += octets
        held = self._octets
        if held.startswith(_V1_START):
            return self._line()
        if held.startswith(V2_SIGNATURE):
            return self._binary()
        if _V1_START.startswith(held) or V2_SIGNATURE.startswith(held):
            return None
        return ProxyBad("no PROXY header")

    def _line(self) -> Said | None:
        end = self._octets.find(b"\n", 0, LONGEST_V1)
        if end < 0:
            is_long = len(self._octets) >= LONGEST_V1
            return ProxyBad("line is too long") if is_long else None
        self.rest = self._octets[end + 1 :]
        line = self._octets[: end + 1]
        return _read_line(line[:-2]) if line.endswith(b"\r\n") else ProxyBad("line without CRLF")

    def _binary(self) -> Said | None:
        held = self._octets
        if len(held) < _V2_FIXED:
            return None
        version, command = divmod(held[12], 16)
        if version != 2 or command > 1:
            return ProxyBad("unknown version or command")
        end = _V2_FIXED + int.from_bytes(held[14:16])
        if len(held) < end:
            return None
        self.rest = held[end:]
        return _read_block(held[13], held[_V2_FIXED:end], is_local=command == 0)


def _read_line(line: bytes) -> Said:
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return LOCAL  # whatever follows must be ignored
    version = {b"TCP4": 4, b"TCP6": 6}.get(words[1])
    if version is None or len(words) != 6:
        return ProxyBad("unknown words")
    ports = [_port(word) for word in words[4:]]
    source, target = (_address(word, version) for word in words[2:4])
    if source is None or target is None or ports[0] is None or ports[1] is None:
        return ProxyBad("no address or port")
    return ProxyHeader(source, ports[0])


def _address(word: bytes, version: int) -> str | None:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        return None
    if address.version != version or b"%" in word:
        return None
    return plain_ip(str(address))


def _port(word: bytes) -> int | None:
    if not word.isdigit() or len(word) > 5 or (word[0] == ord("0") and len(word) > 1):
        return None
    port = int(word)
    return port if port <= 65535 else None


def _read_block(kind: int, block: bytes, *, is_local: bool) -> Said:
    """Addresses, then TLVs (2.2.1 to 2.2.7): all of them must fit, none is used."""
    family, protocol = divmod(kind, 16)
    if family not in _BLOCK_OCTETS or protocol > _MOST_PROTOCOL:
        return LOCAL if is_local else ProxyBad("unknown family or protocol")
    if is_local:
        return LOCAL  # the receiver must accept it, and discard what is in it
    size = _BLOCK_OCTETS[family]
    if len(block) < size:
        return ProxyBad("addresses are cut off")
    if family and not _tlvs_fit(block[size:]):
        return ProxyBad("TLVs do not fit")
    if family not in _ADDRESS_OCTETS or protocol != _STREAM:
        return LOCAL
    width = _ADDRESS_OCTETS[family]
    source = str(ipaddress.ip_address(block[:width]))
    return ProxyHeader(plain_ip(source), int.from_bytes(block[2 * width : 2 * width + 2]))


def _tlvs_fit(octets: bytes) -> bool:
    at = 0
    while at < len(octets):
        at += 3 + int.from_bytes(octets[at + 1 : at + 3])
    return at == len(octets)


def plain_ip(text: str) -> str:
    """An address as it is written everywhere: IPv4 in IPv6 as IPv4, without a zone."""
    if ":" not in text:
        return text
    try:
        address = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return text
    return str(address.ipv4_mapped or address)
