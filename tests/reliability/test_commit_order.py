"""A9: seen from the kernel, the database has confirmed COMMIT before the 250 is written."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from itertools import groupby
from pathlib import Path

import psycopg
import pytest

from tests.reliability.places import ADDRESSES

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.needs_debian]

CALLS = "trace=read,recvfrom,recvmsg,write,writev,sendto,sendmsg"
SENT = r"(write|writev|sendto|sendmsg)\("
INSERTED = re.compile(r'send\w+\(\d+, "[PB]\\0.*mxax_\d')  # the prepared statement of the store
EXPECTED = ["message sent", "COMMIT sent", "COMMIT confirmed", "250 written"]
QUEUED = re.compile(r"250 2\.0\.0 Ok: queued as ([0-9a-z]{26})")


def test_the_commit_is_confirmed_before_each_250(ada, sized, tmp_path, record):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    client, count = ada.client("strace"), sized(20, 100)
    assert client.send(ADDRESSES[0]).accepted
    trace = tmp_path / "trace"
    edges = [word for pid in ada.pids("edge") for word in ("-p", str(pid))]
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-tt", "-s", "120", "-e", CALLS, "-o", str(trace), *edges],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        if not _is_tracing(tracer, trace, client):
            pytest.skip("strace may not attach to processes here")
        sent = [client.send(ADDRESSES[0]) for _ in range(count)]
        time.sleep(0.5)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)

    assert all(one.accepted for one in sent)
    orders = [order_of(trace.read_text(errors="replace"), one.trace_id) for one in sent]
    record(messages=count, order=" < ".join(orders[0]))
    assert all(one == EXPECTED for one in orders), orders


def _is_tracing(tracer, trace: Path, client) -> bool:
    for _ in range(50):
        if tracer.poll() is not None:
            return False
        assert client.send(ADDRESSES[0]).accepted
        if trace.exists() and QUEUED.search(trace.read_text(errors="replace")):
            return True
        time.sleep(0.1)
    return False


def order_of(text: str, trace_id: str) -> list[str]:
    """What the thread that kept this message did between the 354 and the 250, and the 250.

    Only its lines: what edges count together is committed by other threads, now and then.
    """
    end = text.index(f"250 2.0.0 Ok: queued as {trace_id}")
    begin = text.rindex("354 End data", 0, end)
    lines = [line for line in text[begin : end + 60].splitlines()[1:] if line.count(" ")]
    keeper = next(line.split()[0] for line in lines if INSERTED.search(line))
    steps = [_step(line) for line in lines if line.split()[0] == keeper]
    assert "queued as" in lines[-1]
    assert re.search(SENT, lines[-1]), lines[-1]
    return [step for step, _ in groupby(filter(None, steps))] + ["250 written"]


def _step(line: str) -> str:
    if INSERTED.search(line):
        return "message sent"
    if "COMMIT" not in line:
        return ""
    return "COMMIT sent" if re.search(SENT, line) else "COMMIT confirmed"


def test_commits_reach_the_disk_in_the_role_of_the_edge(ada):
    url = ada.environment()["DATABASE_URL"]
    with psycopg.connect(url, options="-c role=mxax_edge", autocommit=True) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("synchronous_commit", "fsync", "full_page_writes", "role")
        }

    assert shown == {
        "synchronous_commit": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "role": "mxax_edge",
    }
