"""`make run`'s launcher with stand-ins for the processes of the service."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import closing
from pathlib import Path

from tests.launcher.conftest import (
    Project,
    Run,
    descendants,
    living,
    processes_of,
    wait_until,
)


def state_of(run: Run) -> dict:
    return json.loads((run.data / "run" / "state.json").read_text())


def test_it_starts_everything_shows_the_demo_and_ends_in_order(project: Project) -> None:
    run = project.start()
    run.wait_for("swaks")

    run.process.send_signal(signal.SIGINT)

    assert run.process.wait(30) == 0
    assert "superuser known: True" in (run.data / "log" / "prepare.log").read_text()
    assert "delivered 250 2.0.0 Ok" in run.text
    assert max(len(line) for line in run.text.splitlines()) <= 80
    ended = (run.data / "ended").read_text().split()
    assert set(ended[:4]) == {"web", "edge", "worker", "metrics"}
    assert set(ended[4:]) == {"beat", "catcher"}
    assert processes_of(run.data) == set()
    assert not (run.data / "run" / "state.json").exists()


def test_children_never_see_the_superuser(project: Project) -> None:
    run = project.start()
    run.wait_for("swaks")

    pids = state_of(run)["pids"]
    assert {"postgres", "broker", "web", "edge", "worker", "beat", "catcher"} <= set(pids)
    for pid in pids.values():
        assert b"mxax_admin:" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert "mxax_admin" not in (run.data / "run" / "state.json").read_text()


def test_killed_launcher_leaves_nothing_after_ten_seconds(project: Project) -> None:
    run = project.start()
    run.wait_for("swaks")
    family = descendants(run.process.pid)
    assert len(family) > 10  # backends of PostgreSQL included

    run.process.kill()
    run.process.wait()

    assert wait_until(lambda: not living(family), 30), living(family)
    assert processes_of(run.data) == set()


def test_killed_launcher_and_guard_leave_nothing(project: Project) -> None:
    run = project.start()
    run.wait_for("swaks")
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text()
    guard = [
        int(pid)
        for pid in children.split()
        if b"launcher/guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]

    family = descendants(run.process.pid)

    run.process.kill()
    os.kill(guard[0], signal.SIGKILL)
    run.process.wait()

    assert wait_until(lambda: not living(family), 30), living(family)


def test_second_start_keeps_data_and_comes_after_a_kill(project: Project) -> None:
    first = project.start()
    first.wait_for("swaks")
    first.process.kill()
    first.process.wait()

    second = project.start()
    second.wait_for("swaks")

    assert "opened, PostgreSQL" in second.text


def test_second_launcher_on_the_same_folder_ends_with_one_line(project: Project) -> None:
    first = project.start()
    first.wait_for("swaks")

    second = project.start()

    assert second.process.wait(20) == 1
    assert second.text.count("\n") == 1
    assert "already runs with the data folder" in second.text
    assert f"process {first.process.pid}" in second.text


def test_two_installations_get_ports_of_their_own(project: Project) -> None:
    wanted = {"MXAX_MX_LISTEN": "", "MXAX_WEB_LISTEN": ""}
    first = project.start(**wanted)
    second = project.start(MXAX_DATA_DIR="other", **wanted)
    first.wait_for("swaks")
    second.wait_for("swaks")

    for name in ("MXAX_MX_LISTEN", "MXAX_WEB_LISTEN", "DATABASE_URL", "CELERY_BROKER_URL"):
        assert state_of(first)["environment"][name] != state_of(second)["environment"][name]


def test_explicit_port_that_is_taken_ends_with_one_line(project: Project) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        run = project.start(MXAX_MX_LISTEN=f"127.0.0.1:{port}")
        assert run.process.wait(30) == 1

    last = run.text.splitlines()[-1]
    assert last.startswith(f"mxax: MXAX_MX_LISTEN=127.0.0.1:{port}: another program has this port")
    assert "Traceback" not in run.text


def test_certificate_that_no_listener_can_use_ends_with_one_line(
    project: Project, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("not a certificate\n")

    run = project.start(MXAX_TLS_CERT=str(nonsense), MXAX_TLS_KEY=str(nonsense))

    assert run.process.wait(30) == 1
    last = run.text.splitlines()[-1]
    assert last.startswith(f"mxax: MXAX_TLS_CERT={nonsense}, MXAX_TLS_KEY={nonsense}: not a")
    assert "Traceback" not in run.text


def test_data_key_missing_beside_a_database_refuses(project: Project) -> None:
    first = project.start()
    first.wait_for("swaks")
    first.process.terminate()
    assert first.process.wait(30) == 0
    key = first.data / "keys" / "data.key"
    key.unlink()

    second = project.start()

    assert second.process.wait(20) == 1
    assert "data.key is missing" in second.text.splitlines()[-1]
    assert not key.exists()


def test_died_child_is_said_and_started_again(project: Project) -> None:
    run = project.start()
    run.wait_for("swaks")
    before = state_of(run)["pids"]

    os.kill(before["postgres"], signal.SIGKILL)
    os.kill(before["edge"], signal.SIGKILL)

    run.wait_for("edge ended (SIGKILL): starting it again in 0.5 s")
    run.wait_for("postgres ended (SIGKILL)")
    pids = lambda: state_of(run)["pids"]  # noqa: E731
    assert wait_until(lambda: pids().get("edge") not in (None, before["edge"]))
    assert wait_until(lambda: pids().get("postgres") not in (None, before["postgres"]))


def test_failing_schema_ends_with_its_last_line(project: Project) -> None:
    (project.root / "manage.py").write_text("import sys; sys.exit('role mxax_owner is missing')")

    run = project.start()

    assert run.process.wait(60) == 1
    assert "role mxax_owner is missing" in run.text.splitlines()[-1]
    assert processes_of(run.data) == set()
