"""Our three small clients before the programs that they are for, as Debian ships them."""

from __future__ import annotations

import asyncio
import base64
import io
import resource
import time
import zipfile
from collections.abc import Iterator

import pytest
import uvloop

from mail.scan_fields import scan_fields
from mail.scanning import ScanOutcome, ScanResult
from mail.trace import format_trace_id
from smtp_edge.scanning.scanners import Scanners, ScanSettings
from tests.peers import scanners as debian
from tests.peers.debian import open_folder
from tests.smtp_edge.scanning.peers import ENVELOPE, HEADER, scanned, scanned_by
from tests.timing import within_cpu

pytestmark = pytest.mark.needs_debian

MIME = HEADER + b"Date: Mon, 05 Jan 2026 10:00:00 +0000\r\nMessage-ID: <1@ada.example>\r\n"
PLAIN = MIME + b"\r\nShall we meet on Friday at noon?\r\n"


@pytest.fixture(scope="module")
def rspamd() -> Iterator[debian.Scanner]:
    with open_folder() as folder, debian.rspamd(folder) as server:
        yield server


@pytest.fixture(scope="module")
def spamd() -> Iterator[debian.Scanner]:
    with open_folder() as folder, debian.spamd(folder) as server:
        yield server


@pytest.fixture(scope="module")
def clamd() -> Iterator[debian.Scanner]:
    with open_folder() as folder, debian.clamd(folder) as server:
        yield server


def attached(octets: bytes, name: str) -> bytes:
    return (
        MIME
        + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
        + b"--x\r\nContent-Type: text/plain\r\n\r\nSee there.\r\n"
        + b"--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        + f"Content-Disposition: attachment; filename={name}\r\n\r\n".encode()
        + base64.encodebytes(octets).replace(b"\n", b"\r\n")
        + b"--x--\r\n"
    )


def zipped(*contents: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number, octets in enumerate(contents):
            archive.writestr(f"{number}.com", octets)
    return packed.getvalue()


def judged(message: bytes, **settings: object) -> tuple[ScanResult, ...]:
    pieces = [message[start : start + 262_144] for start in range(0, len(message), 262_144)]
    return uvloop.run(scanned(ScanSettings(**settings), *pieces))


def test_an_ordinary_letter_is_clean_for_all_three(rspamd, spamd, clamd):
    found = judged(PLAIN, rspamd=(rspamd.address,), spamd=(spamd.address,), clamd=(clamd.address,))

    assert [one.scanner for one in found] == ["rspamd", "spamd", "clamd"]
    assert [one.outcome for one in found] == [ScanOutcome.CLEAN] * 3, found
    assert [one.threshold for one in found] == [15, 5, 0]


def test_gtube_is_spam_for_rspamd_and_spamassassin(rspamd, spamd):
    found = judged(MIME + b"\r\n" + GTUBE_LINE, rspamd=(rspamd.address,), spamd=(spamd.address,))

    assert [one.outcome for one in found] == [ScanOutcome.SPAM] * 2
    assert all("GTUBE" in one.names for one in found)
    assert all(one.score >= one.threshold for one in found)
    assert "X-Spam-Flag: YES\r\n" in scan_fields(found)


GTUBE_LINE = debian.GTUBE + b"\r\n"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "in a zip"])
def test_clamd_finds_the_eicar_test_file(clamd, packed):
    octets = zipped(debian.EICAR) if packed else debian.EICAR

    (found,) = judged(attached(octets, "photo.zip"), clamd=(clamd.address,))

    assert found.outcome is ScanOutcome.VIRUS
    assert found.names == ("Eicar-Test-Signature.UNOFFICIAL",)


def test_a_large_message_reaches_them_whole(rspamd, clamd):
    large = attached(b"".join([bytes([n]) * 50_021 for n in range(100)]) + debian.EICAR, "big.com")
    inside = attached(zipped(bytes(6_000_000), debian.EICAR) + bytes(3_000_000), "big.zip")

    (first, _) = judged(large, rspamd=(rspamd.address,), clamd=(clamd.address,))
    (second,) = judged(inside, clamd=(clamd.address,))

    assert first.outcome in (ScanOutcome.CLEAN, ScanOutcome.SPAM)
    assert second.outcome is ScanOutcome.VIRUS


def test_clamd_that_takes_less_is_skipped_and_not_failed():
    with open_folder() as folder, debian.clamd(folder, "StreamMaxLength 1M") as small:
        for _ in range(5):
            (found,) = judged(attached(bytes(5_000_000), "zeros"), clamd=(small.address,))
            assert found.outcome is ScanOutcome.SKIPPED, found
        assert judged(PLAIN, clamd=(small.address,))[0].outcome is ScanOutcome.CLEAN


def test_rspamd_knows_client_envelope_and_our_id(rspamd):
    (found,) = judged(PLAIN, rspamd=(rspamd.address,))

    assert {"FROM_EQ_ENVFROM", "TO_MATCH_ENVRCPT_ALL", "RCPT_COUNT_ONE"} <= set(found.names)
    assert rspamd.said(f"qid: <{format_trace_id(ENVELOPE.trace_id)}>, ip: 192.0.2.7")


def test_spamassassin_reads_the_client_from_our_received_field(spamd):
    (found,) = judged(PLAIN, spamd=(spamd.address,))

    assert "RCVD_ILLEGAL_IP" in found.names  # 192.0.2.7 is for documentation, and no client's
    assert "NO_RECEIVED" not in found.names


def test_more_sessions_than_spamd_has_children_are_all_answered(spamd):
    async def story():
        scanners = Scanners.of(ScanSettings(spamd=(spamd.address,)))
        return await asyncio.gather(*[scanned_by(scanners, PLAIN) for _ in range(20)])

    assert {one[0].outcome for one in uvloop.run(story())} == {ScanOutcome.CLEAN}


def test_a_scanner_that_is_gone_is_replaced_by_the_other(clamd):
    with open_folder() as folder, debian.clamd(folder) as second:
        addresses = (second.address, clamd.address)
    found = judged(attached(debian.EICAR, "x.com"), clamd=addresses)

    assert found[0].outcome is ScanOutcome.VIRUS


def nested(depth: int) -> bytes:
    opening = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n)
        for n in range(depth)
    )
    closing = b"".join(b"--b%d--\r\n" % n for n in reversed(range(depth)))
    return MIME + b"MIME-Version: 1.0\r\n" + opening + b"\r\nhi\r\n" + closing


def many_parts(count: int) -> bytes:
    part = b"--x\r\nContent-Type: text/plain\r\n\r\na\r\n"
    return MIME + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + part * count + b"--x--\r\n"


def letters_in_letters(depth: int) -> bytes:
    letter = b"Content-Type: message/rfc822\r\n\r\nFrom: a@b.example\r\nMIME-Version: 1.0\r\n"
    return MIME + letter * depth + b"\r\nhi\r\n"


HOSTILE = {
    "a thousand levels": lambda: nested(1000),
    "a hundred thousand parts": lambda: many_parts(100_000),
    "a long boundary": lambda: (
        MIME + b"Content-Type: multipart/mixed; boundary=" + b"b" * 10_000 + b"\r\n\r\n"
        b"--" + b"b" * 10_000 + b"\r\n\r\nhi\r\n"
    ),
    "letters in letters": lambda: letters_in_letters(1000),
    "a zip of a gigabyte": lambda: attached(zipped(*[bytes(100_000_000)] * 10), "bomb.zip"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("shape", HOSTILE)
def test_hostile_mime_costs_us_neither_cpu_nor_memory(rspamd, spamd, clamd, shape):
    """B16: nothing is unpacked here; what the scanners make of it ends with their time."""
    message = HOSTILE[shape]()
    before, began = _peak(), time.monotonic()
    asked = {"rspamd": (rspamd.address,), "spamd": (spamd.address,), "clamd": (clamd.address,)}

    found = within_cpu(lambda: judged(message, **asked, seconds=5.0), seconds=2)

    assert time.monotonic() - began < 30
    assert _peak() - before < 200_000
    assert len(found) == 3
    assert all(one.outcome is not ScanOutcome.VIRUS for one in found)


def _peak() -> int:
    """Kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
