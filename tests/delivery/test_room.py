"""Large messages share the memory of a loop; one tenant's slow next hop keeps nobody else out."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from delivery.room import Room

ADA, BEN, MALLORY = 1, 2, 3


def run(story: Callable[[Room], Awaitable[None]]) -> None:
    async def told() -> None:
        await story(Room(100))

    asyncio.run(told())


async def is_in(room: Room, octets: int, tenant: int) -> bool:
    """Whether it enters at once; who would have to wait goes away."""
    try:
        async with asyncio.timeout(0.01):
            return await room.enter(octets, tenant)
    except TimeoutError:
        return False


def test_a_tenant_has_half_of_the_room():
    async def story(room: Room) -> None:
        assert await is_in(room, 20, ADA)
        assert await is_in(room, 30, ADA)
        assert not await is_in(room, 1, ADA)

        room.leave(20, ADA)

        assert await is_in(room, 1, ADA)

    run(story)


def test_what_is_larger_than_half_the_room_enters_when_nothing_else_of_the_tenant_is_inside():
    async def story(room: Room) -> None:
        assert await is_in(room, 90, ADA)
        assert not await is_in(room, 90, ADA)

    run(story)


def test_a_room_full_of_one_tenants_mail_has_a_place_for_another():
    async def story(room: Room) -> None:
        assert await is_in(room, 90, MALLORY)
        waits = asyncio.create_task(room.enter(90, MALLORY))
        await asyncio.sleep(0)

        assert await is_in(room, 50, ADA)
        assert not await is_in(room, 1, BEN)  # full now, by one more than it should be
        room.leave(50, ADA)

        assert await is_in(room, 1, BEN)
        assert not waits.done()
        waits.cancel()

    run(story)


def test_who_waited_enters_when_there_is_room():
    async def story(room: Room) -> None:
        assert await is_in(room, 90, ADA)
        first = asyncio.create_task(room.enter(30, ADA))
        second = asyncio.create_task(room.enter(30, ADA))
        await asyncio.sleep(0)

        room.leave(90, ADA)
        await asyncio.sleep(0)

        assert first.done()
        assert not second.done()
        room.leave(30, ADA)
        assert await second

    run(story)


def test_few_may_wait_and_of_each_tenant_one():
    async def story(room: Room) -> None:
        assert await is_in(room, 101, MALLORY)
        waiting = [asyncio.create_task(room.enter(1, MALLORY)) for _ in range(4)]
        waiting += [asyncio.create_task(room.enter(1, BEN)) for _ in range(4)]
        await asyncio.sleep(0)

        assert await room.enter(1, MALLORY) is False
        assert await room.enter(1, BEN) is False
        waiting.append(asyncio.create_task(room.enter(1, ADA)))
        await asyncio.sleep(0)

        assert await room.enter(1, ADA) is False
        assert not any(one.done() for one in waiting)
        for one in waiting:
            one.cancel()

    run(story)


@pytest.mark.parametrize("has_entered", [False, True])
def test_who_gives_up_leaves_nothing_behind(has_entered):
    async def story(room: Room) -> None:
        assert await is_in(room, 90, ADA)
        waits = asyncio.create_task(room.enter(90, ADA))
        await asyncio.sleep(0)
        if has_entered:
            room.leave(90, ADA)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        if not has_entered:
            room.leave(90, ADA)

        assert room._inside.total() == 0
        assert await is_in(room, 100, ADA)

    run(story)
