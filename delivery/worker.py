"""The sending loop inside Celery's worker processes.

| Celery says | in | what happens |
|---|---|---|
| worker_init | the parent | refuses to start with settings that cannot send |
| worker_process_init | each child, after the fork | the loop starts in a thread |
| worker_shutting_down | the parent, at SIGTERM | the children hear of it at once |
| worker_process_shutdown | each child, warm shutdown | the loop drains, within 30 s |
| SIGTERM to a child | the child | the same, then the process ends |

Beside the loop runs the thread that writes the tenants' logs (delivery/logwriter.py).

The loop's thread is as important as its process: when it dies the process ends at once, and Celery
starts another. A child whose parent has gone drains and ends too.
"""

import asyncio
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any

import structlog
import uvloop
from celery import signals
from django.conf import settings
from django.db import Error, connection

from delivery.exchange import QueueDatabase
from delivery.hosted import hosted_first
from delivery.logwriter import run_log_writer
from delivery.loop import Limits, SendingLoop
from delivery.next_hop import resolver
from delivery.stop_line import StopLine
from delivery.transport.pool import PoolLimits
from delivery.transport.pools import Pools
from mxax.env import SettingError
from tenants.vault import VaultError, prove_data_key

EXIT_CODE = 70
DRAIN_SECONDS = 30.0
TASK_SECONDS = 3.0  # for a task of Celery's that still runs after that
CONNECTIONS_TO_A_HOP = 20

log = structlog.get_logger()


class LoopThread:
    """The thread of this process's sending loop."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._sending: SendingLoop | None = None
        self._ready = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._live, name="sending-loop", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be work."""
        if self._sending is not None and not self._is_over:
            self._sending.wake()

    def drain(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Let the loop end its work; False when it took too long."""
        self._ready.wait(seconds)
        if self._sending is not None and not self._is_over:
            self._sending.drain()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._run())
        except BaseException:
            log.exception("delivery.loop_died")
            os._exit(EXIT_CODE)
        log.info("delivery.loop_ended")
        if not _asked_to_end.is_set():
            os._exit(0)  # the parent has gone, and with it the reason for this process

    async def _run(self) -> None:
        env = settings.ENV
        share = max(1, CONNECTIONS_TO_A_HOP // env.worker_processes)
        pools = Pools(helo=env.service_domain, limits=PoolLimits(connections=share))
        name = f"{socket.gethostname()[:80]}:{os.getpid()}"
        hops = hosted_first(resolver())
        self._sending = SendingLoop(QueueDatabase(name), pools, hops, self._limits, seals=env.arc)
        self._ready.set()
        log.info("delivery.loop_started", name=name)
        try:
            await self._sending.run()
        finally:
            self._is_over = True
            hops.reception.close()


_thread: LoopThread | None = None
_asked_to_end = threading.Event()
_line: StopLine | None = None


def wake_loop() -> None:
    """Wake the sending loop of this process, if it has one."""
    if _thread is not None:
        _thread.wake()


@signals.worker_init.connect
def check_settings(**_: Any) -> None:
    """End the worker with one line when its data key cannot work."""
    global _line
    _line = StopLine()
    try:
        prove_data_key()
    except (VaultError, SettingError) as error:
        raise SystemExit(str(error)) from None
    except Error:
        log.warning("delivery.database_away", at="start")  # the loops wait for it
    finally:
        connection.close()  # nothing may be shared with the children


@signals.worker_process_init.connect
def start_loop(**_: Any) -> None:
    """Start the threads of this process: after the fork, so nothing is shared."""
    global _thread
    _asked_to_end.clear()
    _thread = LoopThread()
    _thread.start()
    threading.Thread(
        target=run_log_writer, args=(_asked_to_end,), name="log-writer", daemon=True
    ).start()
    signal.signal(signal.SIGTERM, _end_process)
    if _line is not None:
        _line.listen(_leave)


@signals.worker_process_shutdown.connect
def stop_loop(**_: Any) -> None:
    """Drain the loop before the process ends."""
    _drain()


def _drain() -> None:
    """Wait until the loop has ended; two may wait for the same one."""
    _asked_to_end.set()
    if _thread is not None and not _thread.drain():
        log.error("delivery.drain_too_slow", seconds=DRAIN_SECONDS)


@signals.worker_shutting_down.connect
def tell_children(**_: Any) -> None:
    """Let the loops drain now, wherever Celery's own shutdown may wait."""
    if _line is not None:
        _line.hang_up()


def _leave() -> None:
    """The end of a child that was told by the line; Celery may end it earlier."""
    _drain()
    time.sleep(TASK_SECONDS)
    os._exit(0)


def _end_process(_signal: int, _frame: FrameType | None) -> None:
    stop_loop()
    os._exit(0)
