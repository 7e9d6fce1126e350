"""Celery's consumer, which looks after its processes also while the broker is away.

Stock Celery waits for the broker in the parent's main thread and does nothing else meanwhile: a
child that dies then is not replaced, and mail would wait for a broker that it does not need.
"""

from typing import Any

import structlog
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu.connection import Connection

LONGEST_INTERVAL = 5

log = structlog.get_logger()


class PatientConsumer(Consumer):
    """Tries for ever, at most five seconds apart."""

    _pool_is_known = False

    def ensure_connected(self, conn: Connection) -> Connection:
        connected = conn.ensure_connection(
            self._say, interval_max=LONGEST_INTERVAL, callback=self._meanwhile
        )
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        return connected

    def _say(self, error: BaseException, interval: float) -> None:
        log.warning("celery.broker_away", error=type(error).__name__, next_try_seconds=interval)

    def _meanwhile(self, *_: Any) -> None:
        """Once a second while we wait."""
        maybe_shutdown()
        if self.hub is None or self.pool is None:
            return
        if not self._pool_is_known:
            # Replacing a process needs what is set up here, and Celery would do only once it is
            # connected. Celery itself does it again at every reconnection.
            self.pool.register_with_event_loop(self.hub)
            self._pool_is_known = True
        self.pool.maintain_pool()
