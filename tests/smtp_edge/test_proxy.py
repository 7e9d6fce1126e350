"""The PROXY header, octet by octet: what is read, what is refused, whatever comes (B13)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_edge.proxy import (
    LOCAL,
    LONGEST_V1,
    V2_SIGNATURE,
    ProxyBad,
    ProxyHeader,
    ProxyLocal,
    ProxyReader,
    plain_ip,
)


def read(octets: bytes, piece: int = 0):
    """What a reader says, fed at once or in pieces, and what is behind the header."""
    reader = ProxyReader()
    step = piece or len(octets) or 1
    for at in range(0, len(octets), step):
        said = reader.feed(octets[at : at + step])
        if said is not None:
            return said, reader.rest + octets[at + step :]
    return None, reader.rest


def v2(
    source: str = "198.51.100.7",
    port: int = 40000,
    *,
    command: int = 0x21,
    kind: int | None = None,
    tlvs: bytes = b"",
    target: str = "",
) -> bytes:
    address = ipaddress.ip_address(source)
    other = ipaddress.ip_address(target or ("192.0.2.1" if address.version == 4 else "2001:db8::1"))
    block = address.packed + other.packed + port.to_bytes(2) + (25).to_bytes(2) + tlvs
    family = kind if kind is not None else (0x11 if address.version == 4 else 0x21)
    return V2_SIGNATURE + bytes([command, family]) + len(block).to_bytes(2) + block


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2) + value


SSL = tlv(0x20, b"\x01\x00\x00\x00\x00" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"client.example"))
GOOD = [
    (b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 25\r\n", "198.51.100.7", 40000),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0", 0),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n", "2001:db8::7", 40000),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 1 25\r\n", "2001:db8::7", 1),
    (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1 25\r\n", "198.51.100.7", 1),
    (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        65535,
    ),
    (v2(), "198.51.100.7", 40000),
    (v2("2001:db8::7", 1), "2001:db8::7", 1),
    (v2("::ffff:198.51.100.7", 1), "198.51.100.7", 1),
    (v2(tlvs=SSL), "198.51.100.7", 40000),
    (
        v2(tlvs=tlv(0x02, b"mx.example") + tlv(0x04, b"") + tlv(0xEA, b"x" * 300)),
        "198.51.100.7",
        40000,
    ),
    (v2(tlvs=tlv(0x04, b"\0" * 60_000)), "198.51.100.7", 40000),
]
OWN = [
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff:f::f nonsense that must be ignored\r\n",
    v2(command=0x20),
    V2_SIGNATURE + b"\x20\x00\x00\x00",
    V2_SIGNATURE + b"\x20\x11\x00\x00",
    V2_SIGNATURE + b"\x21\x00\x00\x00",
    V2_SIGNATURE + b"\x21\x00\x00\x05junk!",
    V2_SIGNATURE + b"\x21\x31\x00\xd8" + b"/run/client.sock".ljust(108, b"\0") * 2,
    v2(kind=0x12),
]
BAD = [
    b"EHLO client.example\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\n",
    b"proxy TCP4 198.51.100.7 192.0.2.1 1 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25\n",
    b"PROXY TCP4  198.51.100.7 192.0.2.1 1 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 1 25 \r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 1\r\n",
    b"PROXY TCP4 198.51.100.07 192.0.2.1 1 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 01 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 65536 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 -1 25\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 1 x\r\n",
    b"PROXY TCP4 198.51.100.7 192.0.2.1 \xb2 25\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n",
    b"PROXY TCP6 198.51.100.7 192.0.2.1 1 25\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n",
    b"PROXY UDP4 198.51.100.7 192.0.2.1 1 25\r\n",
    b"PROXY client.example mx.example 1 2 3\r\n",
    b"PROXY \r\n",
    b"PROXY " + b"x" * LONGEST_V1 + b"\r\n",
    V2_SIGNATURE + b"\x11\x11\x00\x0c" + b"\0" * 12,
    V2_SIGNATURE + b"\x22\x11\x00\x0c" + b"\0" * 12,
    V2_SIGNATURE + b"\x21\x41\x00\x0c" + b"\0" * 12,
    V2_SIGNATURE + b"\x21\x13\x00\x0c" + b"\0" * 12,
    V2_SIGNATURE + b"\x21\x11\x00\x0b" + b"\0" * 11,
    V2_SIGNATURE + b"\x21\x21\x00\x0c" + b"\0" * 12,
    V2_SIGNATURE + b"\x21\x31\x00\x0c" + b"\0" * 12,
    v2(tlvs=b"\x01"),
    v2(tlvs=b"\x01\x00\x05abc"),
]


@pytest.mark.parametrize(
    ("octets", "ip", "port", "piece"),
    [(*one, piece) for one in GOOD for piece in (0, 1, 7) if not piece or len(one[0]) <= 10_000],
)
def test_the_client_is_whom_the_header_names(octets, ip, port, piece):
    said, rest = read(octets + b"EHLO", piece)

    assert said == ProxyHeader(ip, port)
    assert rest == b"EHLO"


@pytest.mark.parametrize("octets", OWN)
def test_a_proxy_may_speak_for_itself(octets):
    assert read(octets + b"EHLO") == (LOCAL, b"EHLO")


@pytest.mark.parametrize("octets", BAD)
def test_anything_else_is_refused(octets):
    said, _ = read(octets)

    assert isinstance(said, ProxyBad), said


@pytest.mark.parametrize("octets", [one[0] for one in GOOD[:8]] + OWN)
def test_a_header_that_is_not_all_there_is_waited_for(octets):
    for end in range(len(octets)):
        assert ProxyReader().feed(octets[:end]) is None


def test_the_longest_line_is_107_octets():
    longest = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"

    assert len(longest) == LONGEST_V1
    assert read(longest)[0] == LOCAL
    assert isinstance(read(longest[:-2] + b"x\r\n")[0], ProxyBad)


@given(st.ip_addresses(), st.integers(0, 65535), st.booleans(), st.binary(max_size=40))
def test_every_client_comes_through(address, port, is_binary, behind):
    text = str(address)
    if is_binary:
        octets = v2(text, port)
    else:
        word = "TCP4" if address.version == 4 else "TCP6"
        octets = f"PROXY {word} {text} {text} {port} 25\r\n".encode()

    assert read(octets + behind) == (ProxyHeader(plain_ip(text), port), behind)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=120).map(lambda octets: b"PROXY " + octets),
        st.binary(max_size=120).map(lambda octets: V2_SIGNATURE + octets),
    ),
    st.integers(1, 50),
)
def test_noise_is_read_alike_in_one_piece_and_in_many(octets, piece):
    whole, rest = read(octets)

    assert whole is None or isinstance(whole, (ProxyHeader, ProxyLocal, ProxyBad))
    if not isinstance(whole, ProxyBad):
        assert read(octets, piece) == (whole, rest)
    else:
        assert isinstance(read(octets, piece)[0], ProxyBad)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:0db8::0:1", "2001:db8::1"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_has_one_form(text, plain):
    assert plain_ip(text) == plain
