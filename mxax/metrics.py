"""The metrics of every process, for Prometheus: `python -m mxax.metrics`.

Sums what the processes wrote under PROMETHEUS_MULTIPROC_DIR, and asks the queue for its figures at
each scrape. No Django: this process should cost little.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psycopg
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from delivery.queue_figures import OLDEST, STATUS
from delivery.retention_figures import LAG
from mxax.env import Environment, SettingError, environment
from mxax.postgres.sessions import refuse_shared_sessions

STATES = ("queued", "deferred", "in_flight", "held", "failed")
ROLE = "mxax_worker"


class QueueFigures(Collector):
    """The queue at the moment of the scrape, over one connection that is kept."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._connection: psycopg.Connection[tuple[float, ...]] | None = None
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        return ()  # registering must not ask the database, which may still be starting

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            try:
                counts, age, lag = self._ask()
            except psycopg.Error:
                self._connection = None
                yield GaugeMetricFamily("mxax_database_up", "Whether the database answers.", 0)
                return
        yield GaugeMetricFamily("mxax_database_up", "Whether the database answers.", 1)
        deliveries = GaugeMetricFamily(
            "mxax_queue_deliveries", "Deliveries in the queue.", labels=("state",)
        )
        for state, count in zip(STATES, counts, strict=True):
            deliveries.add_metric((state,), count)
        yield deliveries
        yield GaugeMetricFamily(
            "mxax_queue_oldest_age_seconds", "Age of the oldest message that has not failed.", age
        )
        yield GaugeMetricFamily(
            "mxax_retention_lag_seconds",
            "Since the retention of the tenant that waits longest was applied; an hour is late.",
            lag,
        )

    def _ask(self) -> tuple[tuple[float, ...], float, float]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._env)
        counts = self._connection.execute(STATUS).fetchone()
        oldest = self._connection.execute(OLDEST).fetchone()
        waits = self._connection.execute(LAG).fetchone()
        age, lag = (max(0.0, float(row[0])) if row else 0.0 for row in (oldest, waits))
        return counts or (0.0,) * len(STATES), age, lag


def connect(env: Environment) -> psycopg.Connection[tuple[float, ...]]:
    """A connection in the worker's role; statements end after 5 s. Raises those of both."""
    opened = psycopg.connect(
        env.database_url, autocommit=True, connect_timeout=5, application_name="mxax_metrics"
    )
    refuse_shared_sessions(opened, {"conninfo": env.database_url, "connect_timeout": 5})
    opened.execute("SET statement_timeout = '5s'")
    if env.database_roles:
        opened.execute(f"SET ROLE {ROLE}")
    return opened


class ProcessMetrics(MultiProcessCollector):
    """The sum over all processes; gauges of processes that are gone do not count."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, path=str(folder))
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        for file in self._folder.glob("gauge_live*.db"):
            pid = file.stem.rpartition("_")[2]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                mark_process_dead(int(pid), path=str(self._folder))
        found: Iterable[Metric] = super().collect()
        return found


def registry(env: Environment, folder: str | None) -> CollectorRegistry:
    """What a scrape answers with; `folder` is where the processes write, None for none."""
    collectors = CollectorRegistry()
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        ProcessMetrics(collectors, Path(folder))
    collectors.register(QueueFigures(env))
    return collectors


def main() -> None:
    env = environment()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with suppress(psycopg.Error):  # it may still be starting
        try:
            connect(env).close()
        except SettingError as error:
            sys.exit(f"metrics: {error}")
    listen = env.metrics_listen
    try:
        start_http_server(
            listen.port, listen.host, registry(env, os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        )
    except OSError as error:
        sys.exit(f"metrics: {listen}: {error.strerror}: set MXAX_METRICS_LISTEN to another port")
    ended.wait()


if __name__ == "__main__":
    main()
