"""Questions to the database from threads: no thread stays behind in a server that hangs."""

import asyncio
import threading

from smtp_edge import database_threads
from smtp_edge.database_threads import DatabaseThreads


def test_a_question_that_nobody_waits_for_any_more_is_cut_off_as_well(monkeypatch):
    """A client who left, or greylisting that waits for two seconds only."""
    is_cut, is_asked = threading.Event(), threading.Event()

    class Line:
        def tie(self) -> None: ...

        def untie(self) -> None: ...

        def cut(self) -> None:
            is_cut.set()

    def hang() -> None:
        is_asked.set()
        is_cut.wait(60)

    async def leave_in_the_middle() -> bool:
        threads = DatabaseThreads("test", 1, 0.5)
        asking = asyncio.create_task(threads.run(hang))
        assert await asyncio.to_thread(is_asked.wait, 20)
        asking.cancel()
        was_cut = await asyncio.to_thread(is_cut.wait, 5)
        threads.stop()
        return was_cut

    monkeypatch.setattr(database_threads, "Lifeline", Line)

    assert asyncio.run(leave_in_the_middle())
