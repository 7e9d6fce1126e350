"""Two at once, each holding what the other wants next: whether they wait for each other in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import ModuleType

from django.db import connection, connections

PATIENCE_SECONDS = 10


def during(
    monkeypatch, module: ModuleType, first: Callable[[], object], second: Callable[[], object]
) -> list[Exception]:
    """Call `second` while `first` is about to write the audit; gives what went wrong.

    `module` is where `first` writes it from. `first` goes on when somebody waits for a lock, as
    `second` should, for what `first` holds.
    """
    is_there, failures = threading.Event(), []
    record = module.record_in_tenant

    def record_late(*args, **values) -> None:
        if threading.current_thread() is thread:
            is_there.set()
            _wait(_somebody_waits)
        record(*args, **values)

    def alone(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    monkeypatch.setattr(module, "record_in_tenant", record_late)
    thread = threading.Thread(target=alone, args=(first,))
    thread.start()
    assert is_there.wait(PATIENCE_SECONDS)
    alone(second)
    thread.join()
    return failures


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so() and time.monotonic() < until:
        time.sleep(0.02)


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        return bool(cursor.fetchone()[0])
