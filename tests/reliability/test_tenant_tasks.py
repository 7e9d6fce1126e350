"""G4: tasks of alternating tenants through a real broker and worker never see each other's rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from celery import Celery
from kombu import Connection

from tests.installation import PROJECT

pytestmark = [pytest.mark.reliability, pytest.mark.slow]


@pytest.fixture
def worker(ada, tmp_path):
    """A worker for the queue `crossings`, and what its tasks saw."""
    seen, log = tmp_path / "seen", tmp_path / "worker.log"
    seen.touch()
    environment = {
        **ada.environment(),
        "MXAX_DATABASE_ROLE": "mxax_worker",
        "SEEN_FILE": str(seen),
    }
    command = "celery -A tests.reliability.tenant_app worker -Q crossings -c 2 --loglevel INFO"
    command += " --without-gossip --without-mingle --without-heartbeat"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 60
        while "ready." not in log.read_text():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.1)
        yield seen, log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def test_alternating_tenants_never_meet_and_a_task_without_one_is_refused(
    ada, worker, sized, record
):
    seen, log = worker
    count = sized(100, 1000)
    ada.service.manage("tenant", "create", "mallory", "--owner", "owner@mallory.example")
    ada.service.manage("domain", "add", "mallory", "mallory.example", "--verified")
    ids = dict(ada.ask("SELECT slug, id FROM tenants_tenant WHERE slug IN ('ada', 'mallory')"))
    domains = {"ada": "ledger.example", "mallory": "mallory.example"}
    sender = Celery(set_as_current=False)
    # Celery itself would take the broker of the test run, which is in our environment.
    broker = Connection(ada.environment()["CELERY_BROKER_URL"])

    def send(**arguments: object) -> None:
        sender.send_task(
            "tests.look_around",
            kwargs=arguments,
            queue="crossings",
            connection=broker,
            ignore_result=True,
        )

    for number in range(count):
        slug = ("ada", "mallory")[number % 2]
        send(tenant_id=ids[slug], expected=slug, number=number)
        if number % 10 == 0:
            send(expected="nobody", number=-1)
    for wrong in (None, True, 0, -1, 10**9, "1", "public", [ids["ada"]]):
        send(tenant_id=wrong, expected="nobody", number=-2)

    lines = ada.service.wait_for(
        lambda: all_lines(seen.read_text(), count), 120, "every task to have looked around"
    )
    refused_wanted = count // 10 + 8
    ada.service.wait_for(
        lambda: log.read_text().count('"task.refused"') >= refused_wanted, 30, "the refusals"
    )
    record(tasks=count, refused=log.read_text().count('"task.refused"'))
    for line in lines:
        number, slug, rest = line.split(" ", 2)
        at_home = f"{ids[slug]} t{ids[slug]} t{ids[slug]} {domains[slug]}"
        assert rest == f"{at_home} | {at_home}", line
        assert int(number) >= 0
    assert sorted(int(line.split()[0]) for line in lines) == list(range(count))
    assert log.read_text().count('"task.refused"') == refused_wanted


def all_lines(text: str, count: int) -> list[str] | None:
    lines = text.splitlines()
    return lines if len(lines) >= count else None
