"""What the MX speaks once it is asked for TLS, and what it never speaks (B19).

Old versions and weak suites are asked for octet by octet: the library of the one who runs the tests
may not know them any more.
"""

import shutil
import socket
import ssl
import subprocess
import xml.etree.ElementTree as ET
from itertools import chain

import pytest

from smtp_edge.limits import Limits
from smtp_edge.tls import server_context
from tests.smtp_edge.listening import World, listening

VERSIONS = {"SSL 3": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303}
# RFC 5246, A.5; RFC 4492, 6; RFC 5288; RFC 5289.
WEAK = {
    "no encryption": (0x0001, 0x0002, 0x003B, 0xC006, 0xC010),
    "export": (0x0003, 0x0006, 0x0008, 0x0014, 0x0062, 0x0064),
    "RC4": (0x0004, 0x0005, 0xC007, 0xC011),
    "DES and triple DES": (0x0009, 0x0015, 0x000A, 0x0016, 0xC008, 0xC012),
    "no certificate": (0x0018, 0x001B, 0x0034, 0x006C, 0x00A6, 0xC015, 0xC018),
    "no forward secrecy": (0x002F, 0x0035, 0x003C, 0x003D, 0x009C, 0x009D),
    "SHA-1": (0xC009, 0xC00A, 0xC013, 0xC014),
    "finite fields, whose cost is ours": (0x0033, 0x0067, 0x006B, 0x009E, 0x009F, 0xCCAA),
}
GOOD = (0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9)
ALERT, HANDSHAKE = 21, 22
SERVER_HELLO = 2


@pytest.fixture(scope="module", params=["ours", "an RSA certificate of the operator"])
def mx(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    certificate = None if request.param == "ours" else rsa_certificate(folder / "operator.pem")
    tls = server_context(certificate, None, hostname="mxax.test", keys_folder=folder)
    with listening(World(), tls=tls, limits=Limits(client_connections=1000)) as mx:
        yield mx


def rsa_certificate(path):
    """Suites are those of the certificate's kind: an operator's is RSA more often than not."""
    openssl = _program("openssl")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mxax.test",
         "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"needs Debian's {name}")
    return found


def hello(version: int, suites) -> bytes:
    """A ClientHello of this version and no other (RFC 5246, 7.4.1.2)."""
    groups = b"\x00\x0a\x00\x06\x00\x04\x00\x17\x00\x1d" + b"\x00\x0b\x00\x02\x01\x00"
    algorithms = b"\x00\x0d\x00\x0e\x00\x0c" + b"\x04\x03\x05\x03\x04\x01\x05\x01\x02\x01\x08\x04"
    extensions = groups + (algorithms if version == 0x0303 else b"")
    offered = b"".join(one.to_bytes(2) for one in suites)
    body = version.to_bytes(2) + bytes(range(32)) + b"\0" + len(offered).to_bytes(2) + offered
    body += b"\x01\x00" + len(extensions).to_bytes(2) + extensions
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16" + min(version, 0x0301).to_bytes(2) + len(message).to_bytes(2) + message


def answer(mx, octets: bytes) -> bytes:
    """The first record that comes back to a hello behind STARTTLS; b"" where we were left."""
    client = mx.connect()
    assert client.say("STARTTLS").startswith("220")
    client.send(octets)
    received = b""
    try:
        while len(received) < 6 and (piece := client.socket.recv(4096)):
            received += piece
    except ConnectionResetError:
        pass
    client.close()
    return received


def is_agreed(received: bytes) -> bool:
    return received[:1] == bytes([HANDSHAKE]) and received[5] == SERVER_HELLO


def test_who_asks_by_hand_for_what_is_spoken_gets_it(mx):
    assert is_agreed(answer(mx, hello(VERSIONS["TLS 1.2"], GOOD)))


@pytest.mark.parametrize("version", ["SSL 3", "TLS 1.0", "TLS 1.1"])
def test_nothing_older_than_tls_1_2_is_spoken(mx, version):
    everything = (*GOOD, *chain(*WEAK.values()))

    received = answer(mx, hello(VERSIONS[version], everything))

    assert received[:1] in (b"", bytes([ALERT]))


@pytest.mark.parametrize("suites", WEAK.values(), ids=WEAK)
def test_no_weak_suite_is_agreed_on(mx, suites):
    received = answer(mx, hello(VERSIONS["TLS 1.2"], suites))

    assert received[:1] in (b"", bytes([ALERT]))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_that_are_left_carry_mail(mx, version):
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    trusting.minimum_version = trusting.maximum_version = version
    client = mx.connect()
    client.say("STARTTLS")

    client.socket = trusting.wrap_socket(client.socket, server_hostname="mxax.test")

    assert client.say("EHLO client.example").startswith("250")
    name, spoken, bits = client.socket.cipher()
    assert bits >= 128
    assert "GCM" in name or "CHACHA20" in name, spoken


@pytest.mark.needs_debian
def test_a_handshake_cannot_be_asked_for_again_and_again(mx):
    """A client that renegotiates lets us do the work of a handshake for nothing (CVE-2011-1473)."""
    asked = subprocess.run(
        [_program("openssl"), "s_client", "-connect", f"127.0.0.1:{mx.port}", "-starttls", "smtp",
         "-tls1_2"],
        input="R\n", capture_output=True, text=True, timeout=30,
    )  # fmt: skip

    assert "RENEGOTIATING" in asked.stderr
    assert "no renegotiation" in asked.stderr
    with socket.create_connection(("127.0.0.1", mx.port), 5) as other:
        assert other.recv(100).startswith(b"220")


@pytest.mark.needs_debian
def test_sslscan_finds_nothing_to_complain_of(mx):
    said = subprocess.run(
        [_program("sslscan"), "--starttls-smtp", "--xml=-", "--no-colour", f"127.0.0.1:{mx.port}"],
        capture_output=True, timeout=120, check=True,
    ).stdout  # fmt: skip

    (test,) = ET.fromstring(said)
    spoken = {one.get("version") for one in test.iter("protocol") if one.get("enabled") == "1"}
    assert spoken == {"1.2", "1.3"}
    assert [one.get("supported") for one in test.iter("renegotiation")] == ["0"]
    assert {one.get("vulnerable") for one in test.iter("heartbleed")} == {"0"}
    suites = {one.get("cipher"): one for one in test.iter("cipher")}
    assert {one.get("strength") for one in suites.values()} <= {"strong", "acceptable"}
    assert min(int(one.get("bits")) for one in suites.values()) >= 128
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in suites)
