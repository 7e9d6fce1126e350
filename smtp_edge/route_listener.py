"""Hears at once when an owner saves a change: LISTEN on a connection of its own.

It asks the server for a sign of life every second: a connection that is silent because the server
hangs or the network is gone looks just like one on which nothing happens.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, connection
from psycopg import Error

from smtp_edge.lifeline import Lifeline
from tenants.changes import CHANNEL, EVERY_DOMAIN

log = structlog.get_logger()

PULSE_SECONDS: Final = 1.0
DEAF_AFTER_SECONDS: Final = 3.0
_RECONNECT_SECONDS: Final = 1.0


class RouteListener:
    """Calls `drop(name)` and `drop_all()` in the loop."""

    def __init__(self, drop: Callable[[str], None], drop_all: Callable[[], None]) -> None:
        self._drop = drop
        self._drop_all = drop_all
        self._loop = asyncio.get_running_loop()
        self._heard_at = -DEAF_AFTER_SECONDS
        self._ends = threading.Event()
        self._lifeline = Lifeline()
        self._thread = threading.Thread(target=self._run, name="route-listener", daemon=True)
        self._thread.start()

    def is_deaf(self) -> bool:
        """Whether changes may have happened that nobody told us of."""
        return time.monotonic() - self._heard_at > DEAF_AFTER_SECONDS

    def stop(self) -> None:
        self._ends.set()

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self._listen()
            except (Error, OperationalError, InterfaceError) as error:
                # Deaf from this moment, not only when the pulse is missed.
                self._heard_at = -DEAF_AFTER_SECONDS
                log.warning("edge.listener_away", error=type(error).__name__)
                self._ends.wait(_RECONNECT_SECONDS)
            finally:
                self._lifeline.untie()

    def _listen(self) -> None:
        self._lifeline.tie()
        raw = connection.connection
        raw.execute(f"LISTEN {CHANNEL}")
        self._call(self._drop_all)
        while not self._ends.is_set():
            self._heard_at = time.monotonic()
            for notice in raw.notifies(timeout=PULSE_SECONDS):
                self._heard(notice.payload)
            raw.execute("SELECT 1")

    def _heard(self, name: str) -> None:
        if name == EVERY_DOMAIN:
            self._call(self._drop_all)
        else:
            self._call(self._drop, name)

    def _call(self, function: Callable[..., None], *arguments: str) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self._ends.set()  # the loop has ended
