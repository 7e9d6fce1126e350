"""Our signatures, judged by verifiers that are not ours."""

import base64
import hashlib
import itertools
import json
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from mail.errors import BadSigningKey
from mail.message import header_fields, split_header_block
from mail.signing import (
    Algorithm,
    RelaxedBodyHash,
    SigningKey,
    dkim_record,
    dkim_record_strings,
    generate_key_pair,
    load_signing_key,
    public_tags,
    relaxed_body,
    relaxed_body_hash,
    sign,
)
from tests.timing import within_cpu

ORACLE = Path(__file__).with_name("dkim_oracle.py")
DOMAIN = "fwd.mxax.test"
MESSAGE = (
    b"Received: from a by b; Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    b"From: Ada <ada@example.org>\r\n"
    b"To: ben@example.net,\r\n\tcarol@example.net\r\n"
    b"Cc: dan@example.net\r\n"
    b"Subject:  An  example \t of\r\n  folding \r\n"
    b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"In-Reply-To: <0@example.org>\r\n"
    b"References: <0@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"List-Id: <list.example.org>\r\n"
    b"List-Unsubscribe: <https://example.org/u>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"X-Other: not signed\r\n"
    b"\r\n"
    b"Hello  Ben,\t\r\n\r\n  the body. \r\n\r\n\r\n"
)


@pytest.fixture(scope="module")
def pairs() -> dict[Algorithm, tuple[bytes, str]]:
    return {algorithm: generate_key_pair(algorithm) for algorithm in Algorithm}


@pytest.fixture(scope="module")
def keys(pairs) -> tuple[SigningKey, ...]:
    return tuple(
        load_signing_key(pem, algorithm=algorithm, domain=DOMAIN, selector=f"s-{algorithm[:3]}")
        for algorithm, (pem, _) in pairs.items()
    )


@pytest.fixture(scope="module")
def records(pairs) -> dict[str, str]:
    return {
        f"s-{algorithm[:3]}._domainkey.{DOMAIN}": "".join(dkim_record_strings(public))
        for algorithm, (_, public) in pairs.items()
    }


def signed(octets: bytes, keys, now: int | None = None) -> bytes:
    body = split_header_block(octets)
    moment = int(time.time()) if now is None else now
    return sign(octets[:body], relaxed_body_hash(octets[body:]), keys, now=moment) + octets


def ask_oracle(*tasks: dict) -> list:
    done = subprocess.run(
        [sys.executable, "-I", str(ORACLE)],
        input=json.dumps(tasks),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def verify_task(octets: bytes, records: dict[str, str], index: int = 0) -> dict:
    message = octets.decode("latin-1")
    return {"do": "verify", "message": message, "records": records, "index": index}


def tags_of(octets: bytes, index: int = 0) -> dict[str, str]:
    value = re.sub(r"\s", "", header_fields(octets)[index].value.decode())
    return dict(tag.split("=", 1) for tag in value.split(";"))


def test_untouched_dkimpy_accepts_both_signatures(keys, records):
    octets = signed(MESSAGE, keys)

    verdicts = ask_oracle(verify_task(octets, records, 0), verify_task(octets, records, 1))

    assert verdicts == [True, True]


@pytest.mark.needs_debian
def test_opendkim_accepts_both_signatures(keys, records, tmp_path):
    binary = shutil.which("opendkim", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if binary is None:
        pytest.skip("opendkim is not installed (Debian: apt install opendkim)")
    message, zone, config = (tmp_path / name for name in ("m.eml", "zone", "conf"))
    message.write_bytes(signed(MESSAGE, keys))
    zone.write_text("".join(f"{name} {text}\n" for name, text in records.items()))
    config.write_text(f"Mode v\nTestPublicKeys {zone}\nSyslog no\n")

    run = subprocess.run(
        [binary, "-x", str(config), "-vvv", "-t", str(message)], capture_output=True, text=True
    )

    assert re.findall(r"dkim=(\w+).*header\.a=(\S+)", run.stdout) == [
        ("pass", "rsa-sha256"),
        ("pass", "ed25519-sha256"),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"the body", b"The body"),
        (b"From: Ada", b"From: Eve"),
        (b"List-Id: <list", b"List-Id: <tsil"),
        (b"8bit", b"7bit"),
        *[
            (b"\r\n" + name + b":", b"\r\n" + name + b": second\r\n" + name + b":")
            for name in (b"From", b"Subject", b"To", b"Date")
        ],
        (b"X-Other:", b"Reply-To: eve@evil.test\r\nX-Other:"),
    ],
)
def test_a_change_or_an_added_field_breaks_both(keys, records, old, new):
    octets = signed(MESSAGE, keys)

    changed = octets.replace(old, new, 1)

    assert changed != octets
    tasks = [verify_task(changed, records, index) for index in (0, 1)]
    assert [verdict is True for verdict in ask_oracle(*tasks)] == [False, False]


def test_what_transport_may_change_breaks_nothing(keys, records):
    octets = (
        signed(MESSAGE, keys)
        .replace(b"Hello  Ben,\t", b"Hello Ben,")
        .replace(b"Subject:  An  example \t of\r\n  folding ", b"subject: An example of folding")
    )

    verdicts = ask_oracle(verify_task(octets, records, 0), verify_task(octets, records, 1))

    assert verdicts == [True, True]


def test_the_tags_say_what_was_promised(keys):
    tags = tags_of(signed(MESSAGE, keys, now=1_000_000))

    assert (tags["a"], tags["c"], tags["d"]) == ("rsa-sha256", "relaxed/relaxed", DOMAIN)
    assert (tags["t"], tags["x"]) == ("1000000", str(1_000_000 + 7 * 86_400))
    assert "l" not in tags
    names = tags["h"].split(":")
    assert [names.count(name) for name in ("from", "subject", "to", "date")] == [2, 2, 2, 2]
    assert names.count("reply-to") == 1  # absent, and kept so
    assert {"cc", "message-id", "mime-version", "content-type", "content-transfer-encoding"} <= {
        *names
    }
    assert {"in-reply-to", "references", "list-id", "list-unsubscribe"} <= {*names}
    assert "received" not in names


def test_a_reply_to_that_is_there_is_closed_too_and_each_list_field_signed(keys):
    names = [
        "id",
        "help",
        "owner",
        "post",
        "archive",
        "subscribe",
        "unsubscribe",
        "unsubscribe-post",
    ]
    fields = b"".join(f"List-{name}: <https://example.org/>\r\n".encode() for name in names)

    covered = tags_of(signed(b"Reply-To: ben@example.net\r\n" + fields + MESSAGE, keys))["h"]

    assert covered.split(":").count("reply-to") == 2
    assert {f"list-{name}" for name in names} <= {*covered.split(":")}


def test_both_signatures_share_one_body_hash(keys):
    octets = signed(MESSAGE, keys)

    assert tags_of(octets, 0)["bh"] == tags_of(octets, 1)["bh"]


def test_duplicated_fields_are_all_signed(keys, records):
    octets = signed(MESSAGE.replace(b"Cc:", b"Subject: second\r\nCc:"), keys)

    assert tags_of(octets)["h"].split(":").count("subject") == 3
    assert ask_oracle(verify_task(octets, records)) == [True]


def test_ten_thousand_fields_of_a_name_make_no_long_signature(keys, records):
    octets = signed(b"To: x@y.test\r\n" * 10_000 + MESSAGE, keys)

    assert tags_of(octets)["h"].split(":").count("to") == 11
    assert ask_oracle(verify_task(octets, records)) == [True]


def test_no_line_of_a_signature_is_long(keys):
    field = signed(MESSAGE * 1, keys)[: -len(MESSAGE)]

    assert field.endswith(b"\r\n")
    assert max(len(line) for line in field.split(b"\r\n")) <= 78
    assert b"\n" not in field.replace(b"\r\n", b"")


def test_an_expired_signature_is_refused(keys, records):
    octets = signed(MESSAGE, keys, now=int(time.time()) - 8 * 86_400)

    assert ask_oracle(verify_task(octets, records)) != [True]


def bodies() -> list[bytes]:
    random.seed(6376)
    pieces = [b" ", b"\t", b"\r\n", b"a", b".", b"  ", b"text", b"\xff"]
    made = [b"".join(random.choices(pieces, k=random.randrange(60))) + b"\r\n" for _ in range(400)]
    return [b"\r\n", b"\r\n\r\n", b" \r\n", b"\t\r\n\r\n", b"a", b"a\r\n", b"a\r\n \r\n", *made]


def test_the_relaxed_body_is_dkimpys():
    cases = bodies()

    theirs = ask_oracle(*({"do": "body", "body": body.decode("latin-1")} for body in cases))

    assert [relaxed_body(body) for body in cases] == [text.encode("latin-1") for text in theirs]


def test_an_empty_body_hashes_to_the_value_of_the_rfc():
    assert base64.b64encode(relaxed_body_hash(b"")) == (
        b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # RFC 6376, 3.4.4
    )


@given(
    st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"bc", b" \r\n"]), max_size=40),
    st.lists(st.integers(0, 90), max_size=12),
)
def test_chunks_may_be_cut_anywhere(pieces, cuts):
    body = b"".join(pieces) + b"\r\n"
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]

    running = RelaxedBodyHash()
    for start, end in itertools.pairwise(edges):
        running.update(body[start:end])

    assert running.digest() == hashlib.sha256(relaxed_body(body)).digest()


def test_fifty_megabytes_of_nothing_wait_in_a_counter():
    def fed() -> RelaxedBodyHash:
        running = RelaxedBodyHash()
        for chunk in (b"\r\n" * 32_768, b" \t" * 32_768):
            for _ in range(400):
                running.update(chunk)
        running.update(b"x\r\n")
        return running

    running = within_cpu(fed, seconds=3)

    assert running.digest() == hashlib.sha256(b"\r\n" * 32_768 * 400 + b" x\r\n").digest()


def test_two_megabytes_are_hashed_in_a_few_milliseconds():
    body = b"An ordinary line of text with nothing to reduce in it at all.\r\n" * 32_000

    # Goal 7 ms a run.
    within_cpu(lambda: [relaxed_body_hash(body) for _ in range(5)], seconds=0.105)


def test_loading_checks_what_kind_of_key_it_is(pairs):
    rsa_pem, ed_pem = (pairs[algorithm][0] for algorithm in Algorithm)
    short = rsa.generate_private_key(65537, 1024).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

    for pem, algorithm in (
        (rsa_pem, Algorithm.ED25519_SHA256),
        (ed_pem, Algorithm.RSA_SHA256),
        (short, Algorithm.RSA_SHA256),
        (b"nonsense", Algorithm.RSA_SHA256),
        (rsa_pem[:200], Algorithm.RSA_SHA256),
    ):
        with pytest.raises(BadSigningKey):
            load_signing_key(pem, algorithm=algorithm, domain=DOMAIN, selector="s")


def test_a_key_never_shows_its_secret(keys):
    assert "private" not in repr(keys[0])


def test_the_record_is_quoted_and_split(pairs, keys):
    public = pairs[Algorithm.RSA_SHA256][1]

    record = dkim_record(public)

    strings = re.findall(r'"([^"]*)"', record)
    assert [len(text) <= 255 for text in strings] == [True, True]
    assert "".join(strings) == "v=DKIM1; " + public
    assert public == public_tags(keys[0].private)
