"""Public keys as DNS publishes them (RFC 6376, 3.6.1), and those that would cost too much."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from mail.authentication.key_records import KeyType, read_key_record
from mail.authentication.values import DkimResult
from mail.signing import Algorithm
from tests.mail.authentication.short_keys import SHORT
from tests.mail.authentication.signed_mail import signer
from tests.timing import within_cpu


def record_of(public) -> bytes:
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return b"v=DKIM1; p=" + base64.b64encode(der)


def rsa_record(bits: int, exponent: int = 65537) -> bytes:
    """A record of a number of this size; nobody has to know its factors."""
    return record_of(rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) | 1).public_key())


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_key_verifies_what_its_owner_signed(algorithm):
    by = signer(algorithm)
    digest = hashlib.sha256(b"x").digest()
    key = read_key_record(by.record.encode())

    assert key.verify(by.key.sign_digest(digest), digest)
    assert not key.verify(by.key.sign_digest(digest), hashlib.sha256(b"y").digest())
    assert not key.verify(b"", digest)
    assert key.key_type is KeyType(algorithm.split("-")[0].encode())


@pytest.mark.parametrize("bits", [1024, 2048, 4096, 8192])
def test_rsa_keys_of_these_sizes_are_read(bits):
    assert read_key_record(rsa_record(bits)).public is not None


def test_rsa_keys_below_1024_bits_are_against_our_policy():
    for bits, (_, text) in SHORT.items():
        key = read_key_record(text.encode())

        assert (key.public, key.finding.result) == (None, DkimResult.POLICY), bits
    assert read_key_record(rsa_record(1023)).finding.result is DkimResult.POLICY


def test_rsa_keys_that_would_keep_us_busy_are_refused():
    for text in (
        rsa_record(8200),
        rsa_record(2048, (1 << 2000) | 1),
        rsa_record(1024, (1 << 33) | 1),
    ):
        key = read_key_record(text)

        assert (key.public, key.finding.result) == (None, DkimResult.PERMERROR)


def test_the_largest_key_costs_less_than_two_milliseconds():
    key = read_key_record(rsa_record(8192, (1 << 31) | 1))

    def verified() -> list[bool]:
        return [key.verify(bytes(1023) + b"\x02", bytes(32)) for _ in range(20)]

    assert not any(within_cpu(verified, seconds=20 * 0.002))


def test_a_key_of_another_kind_than_it_says_is_refused():
    elliptic = record_of(ec.generate_private_key(ec.SECP256R1()).public_key())

    assert read_key_record(elliptic).public is None
    assert read_key_record(b"k=ed25519; p=" + base64.b64encode(bytes(31))).public is None


def test_flags_stand_also_beside_a_key_that_is_no_use():
    key = read_key_record(b"v=DKIM1; t=s:y; p=")

    assert (key.is_testing, key.is_exact, key.finding.reason) == (True, True, "the key is revoked")


def test_a_record_is_read_once():
    text = signer().record.encode() + b"; n=once"

    assert read_key_record(text) is read_key_record(bytes(bytearray(text)))


@given(st.binary(max_size=200))
def test_whatever_stands_in_p_raises_nothing(octets):
    for kind in (b"rsa", b"ed25519"):
        read_key_record(b"k=" + kind + b"; p=" + base64.b64encode(octets))
        read_key_record(b"k=" + kind + b"; p=" + octets)
