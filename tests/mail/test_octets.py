"""A corpus of odd messages comes out as it came in: only our fields stand before it.

Our own files lie in tests/fixtures (with CRLF), CPython's come with its `test` package.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mail.marker import mark_field
from mail.message import (
    authors,
    begins_with_continuation,
    count_received,
    cut_authentication_results,
    header_fields,
    is_auto_submitted,
    is_list_or_bulk,
    is_report,
    missing_fields,
    split_header_block,
    without_ranges,
)
from mail.signing import (
    Algorithm,
    dkim_record_strings,
    generate_key_pair,
    load_signing_key,
    relaxed_body_hash,
    sign,
)
from mail.trace import Hop, new_trace_id, received_field

ORACLE = Path(__file__).with_name("dkim_oracle.py")
OWN_FILES = sorted((Path(__file__).parents[1] / "fixtures").glob("*.eml"))
OURS, AUTHOR = "s._domainkey.fwd.mxax.test", "s._domainkey.author.test"
# What the verifiers refuse to read, whoever signed it.
OPENDKIM_REFUSES = {"line_without_colon", "no_from", "no_header", "no_last_line_end"}
OPENDKIM_REFUSES |= {"obsolete_colons"}  # sees no From there
UNREADABLE = {"empty_name", "line_without_colon", "obsolete_colons"}


def cpython_corpus() -> dict[str, bytes]:
    try:
        from test import test_email
    except ImportError:
        return {}
    folder = Path(test_email.__file__).parent / "data"
    return {
        f"cpython-{path.stem}": re.sub(rb"\r\n|\r|\n", b"\r\n", path.read_bytes())
        for path in sorted(folder.glob("*.txt"))
    }


CORPUS = {path.stem: path.read_bytes() for path in OWN_FILES} | cpython_corpus()
EACH = pytest.mark.parametrize("octets", CORPUS.values(), ids=CORPUS)


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[bytes, str]]:
    return {name: generate_key_pair(Algorithm.RSA_SHA256) for name in (OURS, AUTHOR)}


@pytest.fixture(scope="module")
def render(pairs):
    """What delivery does at each attempt, in the order of the wire."""
    key = load_signing_key(
        pairs[OURS][0], algorithm=Algorithm.RSA_SHA256, domain="fwd.mxax.test", selector="s"
    )
    hop = Hop(
        helo="client.example.org",
        client_ip="192.0.2.1",
        service="mx.mxax.test",
        trace_id=new_trace_id(1_795_323_600_000, bytes(10)),
        received_at=datetime(2026, 11, 22, 5, tzinfo=UTC),
    )

    def prefixed(octets: bytes) -> bytes:
        kept = without_ranges(octets, cut_authentication_results(octets, "mx.mxax.test"))
        body = split_header_block(kept)
        digest = relaxed_body_hash(kept[body:])
        signatures = sign(kept[:body], digest, (key,), now=int(time.time()))
        marker = mark_field("A" * 180)
        return signatures + marker + received_field(hop) + kept

    return prefixed


def ask_oracle(tasks: list[dict]) -> list:
    run = subprocess.run(
        [sys.executable, "-I", str(ORACLE)],
        input=json.dumps(tasks),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def test_the_corpus_of_cpython_is_there():
    if not cpython_corpus():
        pytest.skip("this Python came without its test package")

    assert len(cpython_corpus()) >= 40


def test_our_own_files_kept_their_line_ends():
    assert len(OWN_FILES) >= 28
    assert not [path.name for path in OWN_FILES if re.search(rb"(?<!\r)\n", path.read_bytes())]


@EACH
def test_only_our_fields_are_prepended(octets, render):
    sent = render(octets)

    assert sent.endswith(octets)
    ours = header_fields(sent[: len(sent) - len(octets)])
    assert [one.name for one in ours] == [b"dkim-signature", b"x-mxax-route", b"received"]
    if not begins_with_continuation(octets):
        block = octets[: split_header_block(octets)]
        theirs = header_fields(sent[: split_header_block(sent)])[len(ours) :]
        assert [one.raw for one in theirs] == [one.raw for one in header_fields(block)]


@EACH
def test_reading_it_raises_nothing(octets):
    fields = header_fields(octets[: split_header_block(octets)])

    assert all(domain == domain.lower() for domain in authors(fields))
    is_auto_submitted(fields), is_report(fields), is_list_or_bulk(fields)
    assert count_received(fields) <= 50
    assert set(missing_fields(fields)) <= {b"date", b"message-id"}


def test_our_own_results_are_the_only_octets_that_ever_go(render):
    forged = b"Authentication-Results: mx.mxax.test; dkim=pass\r\n"
    other = b"Authentication-Results: mx.example.org; dkim=pass\r\n"
    octets = CORPUS["plain"]

    sent = render(other + forged + octets)

    assert sent.endswith(other + octets)
    assert forged not in sent


def test_our_signature_verifies_over_all_that_dkimpy_can_read(render, pairs):
    records = {OURS: "".join(dkim_record_strings(pairs[OURS][1]))}

    answers = ask_oracle([verify(render(octets), records) for octets in CORPUS.values()])
    verdicts = dict(zip(CORPUS, answers, strict=True))

    unread = {name for name, verdict in verdicts.items() if verdict == "error: MessageFormatError"}
    assert {name for name in unread if not name.startswith("cpython")} == UNREADABLE
    assert len(unread) <= len(UNREADABLE) + 3
    assert {name for name, verdict in verdicts.items() if verdict is not True} == unread


@pytest.mark.needs_debian
@pytest.mark.parametrize("path", OWN_FILES, ids=lambda path: path.stem)
def test_opendkim_accepts_what_it_can_read(path, render, pairs, tmp_path):
    binary = shutil.which("opendkim", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if binary is None:
        pytest.skip("opendkim is not installed (Debian: apt install opendkim)")
    message, zone, config = (tmp_path / name for name in ("m.eml", "zone", "conf"))
    message.write_bytes(render(path.read_bytes()))
    zone.write_text(f"{OURS} {''.join(dkim_record_strings(pairs[OURS][1]))}\n")
    config.write_text(f"Mode v\nTestPublicKeys {zone}\nSyslog no\n")

    run = subprocess.run(
        [binary, "-x", str(config), "-vvv", "-t", str(message)],
        capture_output=True,
        text=True,
        errors="replace",
    )

    passed = re.search(r"dkim=pass .*header\.s=s ", run.stdout) is not None
    assert passed is (path.stem not in OPENDKIM_REFUSES)


@pytest.mark.parametrize("form", ["simple", "relaxed"])
def test_the_authors_own_signature_has_the_same_verdict_after_us(form, render, pairs):
    pem, public = pairs[AUTHOR]
    records = {AUTHOR: "".join(dkim_record_strings(public))}
    made = ask_oracle([sign_task(octets, pem, form) for octets in CORPUS.values()])
    signed = {
        name: field.encode("latin-1") + octets
        for (name, octets), field in zip(CORPUS.items(), made, strict=True)
        if not field.startswith("error")
    }

    before = ask_oracle([verify(octets, records) for octets in signed.values()])
    after = ask_oracle([verify(render(octets), records, index=1) for octets in signed.values()])

    enough = 55 if cpython_corpus() else 20
    assert len(signed) >= enough
    assert before.count(True) >= enough
    assert after == before


def verify(octets: bytes, records: dict[str, str], index: int = 0) -> dict:
    message = octets.decode("latin-1")
    return {"do": "verify", "message": message, "records": records, "index": index}


def sign_task(octets: bytes, pem: bytes, form: str) -> dict:
    message = octets.decode("latin-1")
    return {"do": "sign", "message": message, "pem": pem.decode(), "canonicalize": [form, form]}
