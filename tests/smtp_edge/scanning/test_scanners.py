"""All scanners at once over real connections: one word of each, and none holds up the reading."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import uvloop

from mail.scanning import ScanOutcome, ScanResult
from smtp_edge.scanning.scanners import Scanners, ScanSettings
from tests.smtp_edge.scanning.peers import (
    CLAMD_OK,
    HEADER,
    MESSAGE,
    REQUEST,
    TRACE,
    Peer,
    fed,
    listening,
    question,
    rspamd_says,
    says,
    scanned,
    scanned_by,
    silent,
    spamd_says,
)
from tests.timing import soon

LARGE = [HEADER + b"\r\n", *[bytes([65 + number]) * 262_144 for number in range(12)]]


def noting(answer: bytes, heard: list[bytes]):
    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await question(reader))
        writer.write(answer)

    return note


def test_each_scanner_says_its_word():
    async def story():
        async with (
            listening(says(rspamd_says(score=2.5, symbols={"R_X": {"score": 1}}))) as rspamd,
            listening(says(spamd_says("True ; 6.5 / 5.0", "BAD,WORSE"))) as spamd,
            listening(says(b"stream: Eicar FOUND\0")) as clamd,
        ):
            return await scanned(
                ScanSettings((rspamd.address,), (spamd.address,), (clamd.address,))
            )

    assert uvloop.run(story()) == (
        ScanResult("rspamd", ScanOutcome.CLEAN, 2.5, 15, ("R_X",), "no action"),
        ScanResult("spamd", ScanOutcome.SPAM, 6.5, 5, ("BAD", "WORSE")),
        ScanResult("clamd", ScanOutcome.VIRUS, names=("Eicar",)),
    )


def test_without_scanners_nothing_is_kept_and_nothing_said():
    scanners = Scanners.of(ScanSettings())

    assert not scanners.wanted
    assert uvloop.run(scanned_by(scanners, MESSAGE)) == ()


@pytest.mark.parametrize("pieces", [[MESSAGE], LARGE], ids=["small", "large"])
def test_every_octet_arrives_at_each_of_them(pieces):
    heard: dict[str, list[bytes]] = {"rspamd": [], "clamd": []}

    async def story():
        async with (
            listening(noting(rspamd_says(), heard["rspamd"])) as rspamd,
            listening(noting(CLAMD_OK, heard["clamd"])) as clamd,
        ):
            settings = ScanSettings(rspamd=(rspamd.address,), clamd=(clamd.address,))
            return await scanned(settings, *pieces)

    results = uvloop.run(story())

    assert [one.outcome for one in results] == [ScanOutcome.CLEAN] * 2
    whole = b"".join(pieces)
    assert heard["rspamd"][0].endswith(b"\r\n\r\n" + whole)
    assert heard["clamd"][0] == b"zINSTREAM\0" + whole


def test_spamd_reads_our_trace_on_top():
    heard: list[bytes] = []

    async def story():
        async with listening(noting(spamd_says("False ; 0 / 5"), heard)) as spamd:
            return await scanned(ScanSettings(spamd=(spamd.address,)))

    assert uvloop.run(story())[0].outcome is ScanOutcome.CLEAN
    assert heard[0].endswith(b"X-Envelope-From: <ada@ada.example>\r\n" + TRACE + MESSAGE)


def test_a_socket_in_the_file_system_does_as_well(tmp_path):
    path = tmp_path / "clamd.ctl"

    async def story():
        peer = Peer(says(CLAMD_OK))
        server = await asyncio.start_unix_server(peer.serve, str(path))
        try:
            return await scanned(ScanSettings(clamd=(path,)))
        finally:
            server.close()

    assert uvloop.run(story())[0].outcome is ScanOutcome.CLEAN


def test_larger_than_scanners_get_is_skipped_and_nobody_is_asked():
    async def story():
        async with listening(says(rspamd_says())) as rspamd:
            results = await scanned(
                ScanSettings(rspamd=(rspamd.address,), most_octets=2_000_000), *LARGE
            )
            return results, rspamd.connections

    results, connections = uvloop.run(story())

    assert results[0].outcome is ScanOutcome.SKIPPED
    assert results[0].reason == "larger than 2000000 octets"
    assert connections == 0


def test_spamassassin_gets_small_mail_only_and_the_others_all():
    async def story():
        async with listening(says(CLAMD_OK)) as clamd, listening(silent) as spamd:
            settings = ScanSettings(spamd=(spamd.address,), clamd=(clamd.address,))
            return await scanned(settings, *LARGE)

    assert [one.outcome for one in uvloop.run(story())] == [
        ScanOutcome.SKIPPED,
        ScanOutcome.CLEAN,
    ]


def test_feeding_waits_for_no_scanner():
    async def story():
        async with listening(silent) as dead:
            scanners = Scanners.of(ScanSettings(rspamd=(dead.address,), seconds=0.3))
            scan = await fed(scanners, *LARGE)
            connections = dead.connections
            return connections, await scan.results()

    connections, results = uvloop.run(story())

    assert connections == 0  # a client that sends slowly occupies no scanner
    assert results[0].outcome is ScanOutcome.FAILED
    assert results[0].reason == "gave no answer in time"


def test_scanners_work_side_by_side_and_a_dead_one_does_not_silence_the_others():
    async def story():
        all_are_asked = asyncio.Barrier(3)

        def together(answer):
            async def serve(reader, writer):
                await all_are_asked.wait()
                await answer(reader, writer)

            return serve

        async with (
            listening(together(silent)) as rspamd,
            listening(together(says(spamd_says("False ; 0 / 5")))) as spamd,
            listening(together(says(CLAMD_OK))) as clamd,
        ):
            return await scanned(
                ScanSettings((rspamd.address,), (spamd.address,), (clamd.address,), seconds=1)
            )

    results = uvloop.run(story())

    assert [one.outcome for one in results] == [
        ScanOutcome.FAILED,
        ScanOutcome.CLEAN,
        ScanOutcome.CLEAN,
    ]


def test_an_abandoned_scan_asks_nobody_and_leaves_nothing(tmp_path):
    async def story():
        async with listening(says(CLAMD_OK)) as clamd:
            settings = ScanSettings(clamd=(clamd.address,), folder=tmp_path)
            scanners = Scanners.of(settings)
            scan = await fed(scanners, *LARGE)
            waiting = scanners.spooled_octets
            scan.abandon()
            scan.abandon()
            return waiting, scanners.spooled_octets, (await scan.results())[0], clamd.connections

    waiting, afterwards, result, connections = uvloop.run(story())

    assert waiting > 2_000_000
    assert afterwards == 0
    assert result.outcome is ScanOutcome.FAILED
    assert connections == 0
    assert list(tmp_path.iterdir()) == []


def test_cancelling_hangs_up_everywhere():
    async def story():
        async with listening(silent) as rspamd, listening(silent) as clamd:
            scanners = Scanners.of(ScanSettings(rspamd=(rspamd.address,), clamd=(clamd.address,)))
            waiting = asyncio.ensure_future((await fed(scanners, *LARGE)).results())
            await soon(lambda: rspamd.open_now and clamd.open_now)
            open_before = rspamd.open_now, clamd.open_now
            waiting.cancel()
            await soon(lambda: not rspamd.open_now and not clamd.open_now)
            places = [member.under_way for one in scanners.clusters for member in one._members]
            return open_before, (rspamd.open_now, clamd.open_now), places, scanners.spooled_octets

    before, afterwards, places, spooled = uvloop.run(story())

    assert before == (1, 1)
    assert afterwards == (0, 0)
    assert places == [0, 0]
    assert spooled == 0


def test_a_disk_that_is_full_fails_the_scan_and_not_the_message(tmp_path):
    async def story():
        async with listening(says(CLAMD_OK)) as clamd:
            settings = ScanSettings(clamd=(clamd.address,), folder=tmp_path / "gone")
            scanners = Scanners.of(settings)
            return await scanned_by(scanners, *LARGE), await scanned_by(scanners, MESSAGE)

    large, small = uvloop.run(story())

    assert (large[0].outcome, large[0].reason) == (
        ScanOutcome.FAILED,
        "the message could not be kept for the scanners",
    )
    assert small[0].outcome is ScanOutcome.CLEAN


def test_results_say_how_long_it_took_and_can_be_asked_for_again():
    async def story():
        async with listening(says(CLAMD_OK, after=0.1)) as clamd:
            scan = Scanners.of(ScanSettings(clamd=(clamd.address,))).begin(REQUEST)
            await scan.feed(MESSAGE)
            return await scan.results(), await scan.results(), clamd.connections

    first, again, connections = uvloop.run(story())

    assert 0.09 < first[0].seconds < 1
    assert again is first
    assert connections == 1


def test_a_name_that_is_verified_meanwhile_is_told():
    heard: list[bytes] = []

    async def story():
        async with listening(noting(rspamd_says(), heard)) as rspamd:
            scan = await fed(
                Scanners.of(ScanSettings(rspamd=(rspamd.address,))),
                request=replace(REQUEST, client_name=""),
            )
            await scan.results("mail.ada.example")

    uvloop.run(story())

    assert b"\r\nHostname: mail.ada.example\r\n" in heard[0]
