"""Octets that wait for scanners: few in memory, none readable on the disk, none left behind."""

from __future__ import annotations

import asyncio
import os
import tracemalloc

import pytest

from smtp_edge.scanning.spool import IN_MEMORY_OCTETS, Spool, SpoolLost


async def read(spool: Spool) -> bytes:
    return b"".join([octets async for octets in spool.pieces()])


@pytest.mark.parametrize("size", [1, 5, 262_144, 65_537])
def test_what_was_added_comes_back_to_each_reader(size):
    pieces = [os.urandom(size) for _ in range(1 + 2_000_000 // max(size, 65_536))]

    async def story():
        spool = Spool()
        for octets in pieces:
            await spool.add(octets)
        return await asyncio.gather(read(spool), read(spool), read(spool))

    assert asyncio.run(story()) == [b"".join(pieces)] * 3


def test_a_small_message_touches_no_disk(tmp_path):
    async def story():
        spool = Spool(tmp_path / "missing")
        await spool.add(b"x" * IN_MEMORY_OCTETS)
        return await read(spool)

    assert asyncio.run(story()) == b"x" * IN_MEMORY_OCTETS


def test_nothing_can_be_read_on_the_disk(tmp_path):
    secret = b"the author's words " * 60_000

    async def story():
        spool = Spool(tmp_path)
        await spool.add(secret)
        await spool.add(secret)
        on_disk = os.pread(spool._file.number, 10_000_000, 0)
        return on_disk, list(tmp_path.iterdir())

    on_disk, names = asyncio.run(story())

    assert len(on_disk) == 2 * len(secret)
    assert b"author" not in on_disk
    assert names == []


def test_two_messages_are_not_sealed_alike(tmp_path):
    async def story():
        spools = [Spool(tmp_path), Spool(tmp_path)]
        for spool in spools:
            await spool.add(bytes(1_000_000))
        return [os.pread(spool._file.number, 1000, 0) for spool in spools]

    first, second = asyncio.run(story())

    assert first != second


def test_a_large_message_costs_a_few_pieces_of_memory(tmp_path):
    async def story():
        spool = Spool(tmp_path)
        for _ in range(200):
            await spool.add(b"x" * 262_144)
        size = 0
        async for octets in spool.pieces():
            size += len(octets)
        return size

    tracemalloc.start()
    size = asyncio.run(story())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size == 200 * 262_144
    assert most < 4_000_000


def test_who_still_reads_a_closed_one_gets_the_right_octets_or_none():
    """The number of a closed file may at once be another's."""
    pieces = [os.urandom(262_144) for _ in range(12)]

    async def story():
        spool = Spool()
        for octets in pieces:
            await spool.add(octets)
        reading = spool.pieces()
        got = [await anext(reading) for _ in range(4)]
        spool.close()
        others = [Spool() for _ in range(3)]
        for other in others:
            await other.add(bytes(2_000_000))
        got += [octets async for octets in reading]
        return b"".join(got)

    assert b"".join(pieces).startswith(asyncio.run(story()))


def test_a_file_that_lost_its_end_is_an_error_and_no_short_message(tmp_path):
    async def story():
        spool = Spool(tmp_path)
        for _ in range(4):
            await spool.add(b"x" * 262_144)
        os.ftruncate(spool._file.number, 10)
        with pytest.raises(SpoolLost):
            await read(spool)

    asyncio.run(story())


def test_files_go_with_their_messages(tmp_path):
    async def story():
        for _ in range(50):
            spool = Spool(tmp_path)
            await spool.add(b"x" * 600_000)
            spool.close()

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(story())

    assert len(os.listdir("/proc/self/fd")) <= before
