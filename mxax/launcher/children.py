"""The processes of the service, in one table: what runs, in which database role, how it ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from mxax.env import Environment
from mxax.launcher.supervisor import ChildSpec, Stage
from mxax.local_service import PROJECT

DEMO_ADDRESS = "hello@demo.example"

# Setting, field of Environment and what it is, in the order of their ports.
LISTENERS = (
    ("MXAX_WEB_LISTEN", "web_listen"),
    ("MXAX_MX_LISTEN", "mx_listen"),
    ("MXAX_CATCHER_LISTEN", "catcher_listen"),
    ("MXAX_METRICS_LISTEN", "metrics_listen"),
)

_FRONT_SECONDS = 35.0  # a worker has 30 s for what is in flight
_BACK_SECONDS = 10.0


def manage(*words: str) -> tuple[str, ...]:
    return (sys.executable, str(PROJECT / "manage.py"), *words)


def service_children(
    chosen: Environment, environment: Mapping[str, str], run_folder: Path
) -> tuple[ChildSpec, ...]:
    """Everything but the embedded servers, in the order in which it starts."""

    def child(name: str, role: str, stage: Stage, *command: str) -> ChildSpec:
        return ChildSpec(
            name=name,
            command=(sys.executable, "-m", *command),
            environment={**environment, "MXAX_DATABASE_ROLE": role},
            stage=stage,
            stop_seconds=_FRONT_SECONDS if stage is Stage.FRONT else _BACK_SECONDS,
            folder=PROJECT,
        )

    front, back = Stage.FRONT, Stage.BACK
    celery = ("celery", "-A", "mxax")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    workers = ("-c", str(chosen.worker_processes), "--loglevel", "WARNING", *quiet)
    schedule = ("-s", str(run_folder / "beat-schedule"), "--pidfile=", "--loglevel", "WARNING")
    edges = range(1, chosen.edge_processes + 1)
    return (
        child("catcher", "mxax_worker", back, "delivery.catcher"),
        child("web", "mxax_web", front, "gunicorn", "mxax.wsgi", "-c", "mxax/gunicorn.py"),
        *(
            child("edge" if len(edges) == 1 else f"edge-{n}", "mxax_edge", front, "smtp_edge")
            for n in edges
        ),
        child("worker", "mxax_worker", front, *celery, "worker", *workers),
        child("beat", "mxax_worker", back, "celery", "-A", "mxax.beat", "beat", *schedule),
        child("metrics", "mxax_worker", front, "mxax.metrics"),
    )
