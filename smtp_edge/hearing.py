"""Whether anybody answers our questions to the DNS.

A machine without a resolver is no reason to turn all mail away: until one question was answered,
nothing is known and mail is not judged by it. Once somebody has answered, or the operator has named
the servers, silence is an outage, and what cannot be judged is put off (RFC 9989, 5.4).
"""

from collections.abc import Awaitable
from typing import Any, Literal

from mail.lookups import Answer, Lookup, MxRecord


class Hearing:
    """A `Lookup` that remembers whether anything was ever heard."""

    def __init__(self, lookup: Lookup, *, expected: bool) -> None:
        self._lookup = lookup
        self.has_heard = expected

    async def _noted(self, asked: Awaitable[Answer[Any]]) -> Answer[Any]:
        answer = await asked
        if not answer.failed:
            self.has_heard = True
        return answer

    async def mx(self, name: str) -> Answer[MxRecord]:
        return await self._noted(self._lookup.mx(name))

    async def addresses(self, name: str, family: Literal["A", "AAAA"]) -> Answer[str]:
        return await self._noted(self._lookup.addresses(name, family))

    async def txt(self, name: str) -> Answer[bytes]:
        return await self._noted(self._lookup.txt(name))

    async def ptr(self, name: str) -> Answer[str]:
        """Proves nothing: many a machine knows its own addresses and nothing else."""
        return await self._lookup.ptr(name)
