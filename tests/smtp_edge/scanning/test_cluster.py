"""Several addresses of one scanner: who is asked, who rests, and what a second try needs."""

from __future__ import annotations

import asyncio
import time

import uvloop

from mail.scanning import ScanOutcome
from mxax.setting_values import HostPort
from smtp_edge.scanning.clamd import Clamd
from smtp_edge.scanning.cluster import Cluster, Member, Patience
from smtp_edge.scanning.scanners import Scanners, ScanSettings
from smtp_edge.scanning.spool import Spool
from tests.ports import free_port
from tests.smtp_edge.scanning.peers import (
    CLAMD_OK,
    HEADER,
    REQUEST,
    listening,
    question,
    rspamd_says,
    says,
    scanned,
    scanned_by,
    silent,
)
from tests.timing import soon


def nobody() -> HostPort:
    """An address where nobody listens."""
    return HostPort("127.0.0.1", free_port())


class Clock:
    """The loop's time, which tests may move on."""

    def __init__(self) -> None:
        self.moved = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.moved


def cluster_of(*addresses: HostPort, clock: Clock, whole: float = 5.0) -> Cluster:
    return Cluster(Clamd(), addresses, Patience(0.5, whole), clock)


async def asked(cluster: Cluster) -> ScanOutcome:
    spool = Spool()
    await spool.add(HEADER + b"\r\nhi\r\n")
    return (await cluster.scan(REQUEST, spool)).outcome


def test_a_second_address_answers_where_the_first_is_gone():
    async def story():
        async with listening(says(CLAMD_OK)) as well:
            return await scanned(ScanSettings(clamd=(nobody(), well.address)))

    assert uvloop.run(story())[0].outcome is ScanOutcome.CLEAN


def test_a_large_message_gets_its_second_try_too():
    async def story():
        async with listening(says(b"")) as broken, listening(says(rspamd_says())) as well:
            settings = ScanSettings(rspamd=(broken.address, well.address))
            large = [HEADER + b"\r\n", *[b"x" * 262_144] * 8]
            return await scanned(settings, *large), broken.connections, well.connections

    results, *connections = uvloop.run(story())

    assert results[0].outcome is ScanOutcome.CLEAN
    assert connections == [1, 1]


def test_an_address_that_hangs_leaves_time_for_another():
    async def story():
        async with listening(silent) as hangs, listening(says(CLAMD_OK)) as well:
            settings = ScanSettings(clamd=(hangs.address, well.address), seconds=2.0)
            return (await scanned(settings))[0].outcome, hangs.connections

    assert uvloop.run(story()) == (ScanOutcome.CLEAN, 1)


def test_two_addresses_are_tried_and_no_third():
    async def story():
        async with listening(says(b"")) as one, listening(says(b"")) as two:
            async with listening(says(CLAMD_OK)) as three:
                settings = ScanSettings(clamd=(one.address, two.address, three.address))
                return (await scanned(settings))[0].outcome, three.connections

    assert uvloop.run(story()) == (ScanOutcome.FAILED, 0)


def test_the_least_busy_is_asked():
    async def story():
        all_asked, heard = asyncio.Event(), []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await question(reader))
            if len(heard) == 8:
                all_asked.set()
            await all_asked.wait()
            writer.write(CLAMD_OK)

        async with listening(answer) as one, listening(answer) as other:
            scanners = Scanners.of(ScanSettings(clamd=(one.address, other.address)))
            await asyncio.gather(*[scanned_by(scanners) for _ in range(8)])
            return one.connections, other.connections

    assert uvloop.run(story()) == (4, 4)


def test_no_address_gets_more_than_its_share_at_once_and_all_are_served():
    async def story():
        async with listening(says(CLAMD_OK, after=0.02)) as clamd:
            scanners = Scanners.of(ScanSettings(clamd=(clamd.address,)))
            found = await asyncio.gather(*[scanned_by(scanners) for _ in range(100)])
            return [one[0].outcome for one in found], clamd.most_at_once, scanners

    outcomes, most, scanners = uvloop.run(story())

    assert outcomes == [ScanOutcome.CLEAN] * 100
    assert most <= Clamd.most_under_way
    assert [one.under_way for one in scanners.clusters[0]._members] == [0]


def test_who_waits_in_vain_fails_in_time_and_frees_its_place_in_the_queue():
    async def story():
        async with listening(silent) as hangs:
            scanners = Scanners.of(ScanSettings(clamd=(hangs.address,), seconds=0.3))
            began = time.monotonic()
            found = await asyncio.gather(*[scanned_by(scanners) for _ in range(200)])
            waiters = len(scanners.clusters[0]._waiters)
            return {one[0].outcome for one in found}, time.monotonic() - began, waiters

    outcomes, seconds, waiters = uvloop.run(story())

    assert outcomes == {ScanOutcome.FAILED}
    assert seconds < 3, "the twenty turns of ten would take six"
    assert waiters == 0


def test_one_that_cannot_be_reached_rests_longer_each_time_and_is_then_asked_once():
    clock = Clock()

    async def story():
        cluster = cluster_of(nobody(), clock=clock)
        member = cluster._members[0]
        rests = []
        for _ in range(5):
            assert await asked(cluster) is ScanOutcome.FAILED
            rests.append(round(member.rests_until - clock()))
            clock.moved += rests[-1] + 0.5
        return rests

    assert uvloop.run(story()) == [5, 15, 60, 60, 60]


def test_while_all_rest_nobody_is_asked_and_nobody_waits():
    async def story():
        async with listening(says(CLAMD_OK)) as clamd:
            cluster = cluster_of(clamd.address, clock=Clock())
            cluster._members[0].failed(time.monotonic(), at_once=True)
            began = time.monotonic()
            return await asked(cluster), clamd.connections, time.monotonic() - began

    outcome, connections, seconds = uvloop.run(story())

    assert (outcome, connections) == (ScanOutcome.FAILED, 0)
    assert seconds < 3, "the question has five"


def test_after_a_rest_one_question_finds_out_and_then_all_go_again():
    clock = Clock()

    async def story():
        may_answer = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await may_answer.wait()
            await says(CLAMD_OK, after=0.05)(reader, writer)

        async with listening(answer) as clamd:
            cluster = cluster_of(clamd.address, clock=clock)
            cluster._members[0].failed(clock(), at_once=True)
            clock.moved += 6
            going = [asyncio.ensure_future(asked(cluster)) for _ in range(20)]
            await soon(lambda: clamd.connections)
            await asyncio.sleep(0.03)  # for the others, were they let
            while_probing = clamd.most_at_once
            may_answer.set()
            return while_probing, {await one for one in going}, clamd.most_at_once

    while_probing, outcomes, afterwards = uvloop.run(story())

    assert while_probing == 1
    assert outcomes == {ScanOutcome.CLEAN}
    assert afterwards > 5


def test_one_message_that_a_scanner_breaks_over_does_not_send_it_to_rest():
    member = Member(nobody())

    assert [member.failed(100.0, at_once=False) for _ in range(3)] == [0.0, 0.0, 5.0]

    member = Member(nobody())
    member.failed(100.0, at_once=False)
    member.failed(100.0, at_once=False)
    member.answered()
    assert member.failed(100.0, at_once=False) == 0.0


def test_many_that_fail_together_make_one_rest():
    member = Member(nobody())

    rests = [member.failed(100.0, at_once=True) for _ in range(10)]

    assert rests == [5.0] + [0.0] * 9
