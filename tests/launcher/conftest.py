"""A project of small stand-ins under the real launcher, and tools to look at its processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_WAITING = """
import signal, sys, time, os
def end(number, frame):
    with open(os.environ["MXAX_DATA_DIR"] + "/ended", "a") as file:
        file.write("{name}\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    time.sleep(0.05)
"""
_WEB = """
import http.server, os, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ready")
    def log_message(self, *words): pass
def end(number, frame):
    with open(os.environ["MXAX_DATA_DIR"] + "/ended", "a") as file:
        file.write("web\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
host, port = os.environ["MXAX_WEB_LISTEN"].rsplit(":", 1)
http.server.HTTPServer((host, int(port)), Answer).serve_forever()
"""
_CELERY = _WAITING.replace('"{name}', 'sys.argv[3] + "')
_MANAGE = """
import os, sys
if sys.argv[1] == "prepare":
    print("superuser known: " + str("mxax_admin" in os.environ.get("MXAX_DATABASE_ADMIN_URL", "")))
if sys.argv[1] == "demo":
    print("delivered 250 2.0.0 Ok")
"""


@dataclass
class Run:
    """A launcher that runs; `text` is what it printed so far."""

    process: subprocess.Popen[bytes]
    output: Path
    data: Path
    seen: set[int] = field(default_factory=set)

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str, seconds: float = 40) -> None:
        wait_until(lambda: words in self.text or self.process.poll() is not None, seconds)
        assert words in self.text, self.text

    def processes(self) -> set[int]:
        """Living pids whose environment or command names this data folder."""
        return processes_of(self.data)


@dataclass
class Project:
    """A checkout with the real launcher and stand-ins for the rest."""

    root: Path
    python: str = sys.executable
    user: int | None = None
    runs: list[Run] = field(default_factory=list)

    def start(self, *words: str, **environment: str) -> Run:
        data = self.root / environment.get("MXAX_DATA_DIR", "var")
        output = self.root / f"output-{len(self.runs)}"
        foreign = ("MXAX_", "MAKE", "DATABASE_URL", "CELERY_BROKER_URL")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        with open(output, "wb") as file:
            process = subprocess.Popen(
                [self.python, "-m", "mxax.launcher", *(words or ("run",))],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**kept, **any_ports(), "PYTHONUTF8": "1", **environment},
                start_new_session=True,
                user=self.user,
            )
        run = Run(process, output, data)
        self.runs.append(run)
        return run


def any_ports() -> dict[str, str]:
    names = ("WEB", "MX", "CATCHER", "METRICS")
    return {f"MXAX_{name}_LISTEN": "127.0.0.1:0" for name in names}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "mxax" / "launcher", root / "mxax" / "launcher")
    shutil.copytree(ROOT / "mail", root / "mail", ignore=shutil.ignore_patterns("__pycache__"))
    settings = ("env", "declarations", "setting_values", "trust_settings")
    for name in (*settings, "keys", "data_folder", "local_service"):
        shutil.copy(ROOT / "mxax" / f"{name}.py", root / "mxax")
    files = {
        "mxax/__init__.py": "",
        "mxax/metrics.py": _WAITING.format(name="metrics"),
        "smtp_edge.py": _WAITING.format(name="edge"),
        "delivery/__init__.py": "",
        "delivery/catcher.py": _WAITING.format(name="catcher"),
        "gunicorn.py": _WEB,
        "celery.py": _CELERY,
        "manage.py": _MANAGE,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    made = Project(root)
    yield made
    for run in made.runs:
        end(run)
        remove_outside_cluster(run.data)


def end(run: Run) -> None:
    if run.process.poll() is None:
        run.process.send_signal(signal.SIGTERM)
        try:
            run.process.wait(30)
        except subprocess.TimeoutExpired:
            run.process.kill()
            run.process.wait()


def remove_outside_cluster(data: Path) -> None:
    """As root the cluster of a folder below a private one lies elsewhere."""
    pointer = data / "postgres.path"
    if pointer.exists():
        shutil.rmtree(Path(pointer.read_text().strip()).parent, ignore_errors=True)


def wait_until(true: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return true()


def processes_of(data: Path) -> set[int]:
    needles = [str(data).encode()]
    pointer = data / "postgres.path"
    if pointer.exists():
        needles.append(pointer.read_text().strip().encode())
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if b") Z " in (entry / "stat").read_bytes():
                    continue
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(needle in told for needle in needles):
                found.add(int(entry.name))
    return found


def descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def living(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            if ") Z " not in Path(f"/proc/{pid}/stat").read_text():
                found.add(pid)
        except OSError:
            continue
    return found
