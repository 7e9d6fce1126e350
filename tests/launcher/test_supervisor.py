"""Children start again with back-off and end in order within their bounds."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mxax.launcher import supervisor as supervision
from mxax.launcher.console import Console
from mxax.launcher.guard import BOUNDS
from mxax.launcher.guarded import Guard
from mxax.launcher.supervisor import ChildSpec, Stage, Supervisor
from tests.launcher.conftest import living, wait_until

_RECORDS_ITS_END = """
import signal, sys, time
def end(number, frame):
    open(sys.argv[1], "a").write(sys.argv[2] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + "-up", "a").write("x")
time.sleep(60)
"""
_STAYS = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write("up")
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Supervisor]:
    one = Supervisor(console=Console(io.StringIO()), logs=tmp_path, guard=Guard())
    one.guard.start()
    yield one
    one.stop()


def child(code: str, *words: str, name: str = "child", stage: Stage = Stage.FRONT) -> ChildSpec:
    command = (sys.executable, "-c", code, *words)
    return ChildSpec(name, command, dict(os.environ), stage, stop_seconds=1.0)


def tick_until(run: Supervisor, true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        run.tick(0.02)


def test_child_that_dies_comes_back_later_and_later(
    run: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    monkeypatch.setattr(supervision, "FIRST_DELAY", 0.1)
    code = "import sys, time; open(sys.argv[1], 'a').write(f'{time.monotonic()} '); sys.exit(3)"

    spec = child(code, str(starts))
    run.add(spec)
    run._children["child"].delay = 0.1
    tick_until(run, lambda: starts.exists() and len(starts.read_text().split()) >= 4)

    at = [float(word) for word in starts.read_text().split()]
    gaps = [later - sooner for sooner, later in itertools.pairwise(at)]
    assert len(gaps) >= 3
    assert gaps[0] >= 0.1
    assert gaps[1] >= 0.2
    assert gaps[2] >= 0.4
    printed = run.console._out.getvalue()  # type: ignore[attr-defined]
    assert "child ended (exit 3): starting it again in 0.1 s" in printed


def test_back_off_is_bounded_and_starts_anew_after_a_steady_life(
    run: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.add(child("import time; time.sleep(60)"))
    one = run._children["child"]
    delays = []
    for _ in range(9):
        run._plan_restart(one, "ended")
        delays.append(one.delay)
    assert delays[-1] == supervision.LONGEST_DELAY

    one.started_at = time.monotonic() - supervision.STEADY_AFTER
    run._plan_restart(one, "ended")

    assert one.delay == 2 * supervision.FIRST_DELAY


def test_child_that_is_killed_again_and_again_is_back_within_five_seconds(run: Supervisor) -> None:
    run.add(child("import time; time.sleep(60)"))
    one = run._children["child"]
    for _ in range(20):
        run._plan_restart(one, "ended")

    began = time.monotonic()
    run._plan_restart(one, "ended (SIGKILL)")
    ended = time.monotonic()

    assert began + 5 <= one.due_at <= ended + 5  # A1; and what cannot start does not spin


def test_stages_end_one_after_the_other(run: Supervisor, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    for stage in (Stage.DATABASE, Stage.BACK, Stage.FRONT):
        run.add(child(_RECORDS_ITS_END, str(ends), stage.name, name=stage.name, stage=stage))
    up = tmp_path / "ends-up"
    assert wait_until(lambda: up.exists() and len(up.read_text()) == 3)

    run.stop()

    assert ends.read_text().split() == ["FRONT", "BACK", "DATABASE"]


def test_child_that_will_not_end_is_killed_with_its_family(run: Supervisor, tmp_path: Path) -> None:
    up = tmp_path / "up"
    run.add(child(_STAYS, str(up)))
    assert wait_until(up.exists)
    group = run.pids()["child"]

    began = time.monotonic()
    run.stop()

    assert 0.9 < time.monotonic() - began < 20
    assert wait_until(lambda: not members(group))


def members(group: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[2]) == group:
                found.add(int(entry.name))
    return living(found)


def test_what_a_dead_child_left_is_gone_before_it_starts_again(
    run: Supervisor, tmp_path: Path
) -> None:
    up = tmp_path / "up"
    run.add(child(_STAYS, str(up)))
    assert wait_until(up.exists)
    group = run.pids()["child"]

    os.kill(group, signal.SIGKILL)
    tick_until(run, lambda: not members(group))


def test_guard_that_dies_is_replaced_and_knows_the_children(
    run: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mxax.launcher import guarded

    monkeypatch.setattr(guarded, "_PAUSE", 0.0)
    run.add(child("import time; time.sleep(60)"))
    first = run.guard._process
    assert first

    first.kill()
    first.wait()
    tick_until(run, lambda: run.guard._process is not first)
    second = run.guard._process
    assert second
    assert second is not first
    assert second.stdin
    pid = run.pids()["child"]
    second.stdin.close()  # as when we die

    assert wait_until(lambda: not living({pid}))


def test_guard_kills_what_ignores_its_signal_within_ten_seconds(tmp_path: Path) -> None:
    up = tmp_path / "up"
    stubborn = subprocess.Popen(
        [sys.executable, "-c", _STAYS, str(up)], start_new_session=True, stdin=subprocess.DEVNULL
    )
    assert wait_until(up.exists)
    guard = Guard()
    guard.start()
    guard.watch(stubborn.pid, Stage.FRONT, signal.SIGTERM)
    assert guard._process
    assert guard._process.stdin

    began = time.monotonic()
    guard._process.stdin.close()
    guard._process.wait(60)
    stubborn.wait(60)

    assert sum(BOUNDS.values()) < 9.5
    assert time.monotonic() - began < 20
    assert members(stubborn.pid) == set()


def test_large_log_is_turned_over_while_the_child_writes_on(
    run: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "LOG_OCTETS", 1000)
    run._logs_due = time.monotonic() + 60
    run.add(child("import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.005)"))
    log = tmp_path / "child.log"
    assert wait_until(lambda: log.stat().st_size > 1000)

    run._logs_due = 0.0
    tick_until(run, (tmp_path / "child.log.1").exists)

    assert (tmp_path / "child.log.1").read_text().startswith("xxx")
    assert b"\0" not in log.read_bytes()
