"""SPF checks with a time limit, for smtp_edge/authenticity.py alone."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from mail.authentication.spf_check import MAX_SECONDS, check_identity
from mail.authentication.values import SpfCheck, SpfResult
from mail.lookups import Lookup

__all__: Final = ["SpfCheck", "SpfChecker", "SpfResult"]


class SpfChecker:
    """Checks for one event loop; what takes longer than `max_seconds` is a temporary error."""

    def __init__(self, lookup: Lookup, *, max_seconds: float = MAX_SECONDS) -> None:
        self._lookup, self._max_seconds = lookup, max_seconds

    async def check_identity(self, *, client_ip: str, helo: str, reverse_path: str) -> SpfCheck:
        """MAIL FROM, or HELO where the reverse-path is null."""
        try:
            async with asyncio.timeout(self._max_seconds):
                return await check_identity(
                    self._lookup,
                    client_ip=client_ip,
                    helo=helo,
                    reverse_path=reverse_path,
                    now=datetime.now(UTC),
                )
        except TimeoutError:
            return SpfCheck(SpfResult.TEMPERROR, reverse_path.rpartition("@")[2], "out of time")

    def close(self) -> None:
        """Nothing to end."""
