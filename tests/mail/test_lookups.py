"""A look-up for one piece of work: so many questions, and failures behind the last one."""

import asyncio

from mail.lookups import Answer, BoundedLookup, MxRecord, Outcome


class Everything:
    """Has an answer to everything, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    async def mx(self, name: str) -> Answer[MxRecord]:
        self.asked += 1
        return Answer(Outcome.FOUND, (MxRecord(1, name),))

    async def txt(self, name: str) -> Answer[bytes]:
        self.asked += 1
        return Answer(Outcome.FOUND, (b"text",))

    async def ptr(self, name: str) -> Answer[str]:
        self.asked += 1
        return Answer(Outcome.FOUND, (name,))

    async def addresses(self, name: str, family: str) -> Answer[str]:
        self.asked += 1
        return Answer(Outcome.FOUND, ("192.0.2.1",))


async def _ask_all(lookup: BoundedLookup) -> list[Answer]:
    return [
        await lookup.mx("a.example"),
        await lookup.txt("a.example"),
        await lookup.ptr("a.example"),
        await lookup.addresses("a.example", "A"),
    ]


def test_questions_of_each_kind_count():
    zone = Everything()
    lookup = BoundedLookup(zone, 4)

    first = asyncio.run(_ask_all(lookup))
    assert not lookup.is_spent
    second = asyncio.run(_ask_all(lookup))

    assert [one.outcome for one in first] == [Outcome.FOUND] * 4
    assert [one.outcome for one in second] == [Outcome.FAILURE] * 4
    assert zone.asked == 4
    assert lookup.is_spent
