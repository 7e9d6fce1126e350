"""An edge whose sweeper dies a moment after the start. Run as a process by the tests."""

import asyncio
import sys

from smtp_edge.__main__ import main
from smtp_edge.listener import Listener


async def die(listener: Listener) -> None:
    await asyncio.sleep(1)
    raise RuntimeError("what nobody thought of")


if __name__ == "__main__":
    Listener.sweep = die
    sys.exit(main())
