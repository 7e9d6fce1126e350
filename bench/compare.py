"""Our service and Postfix at the same job, in the same quarter of an hour: the ratio is the figure.

    .venv/bin/python bench/compare.py               ours, the anchor, ours again, and the ratios
    .venv/bin/python bench/compare.py --no-anchor   ours only
    .venv/bin/python bench/compare.py --jobs forward,tenants,opaque,large

The anchor is Postfix with postsrsd and opendkim (bench/anchor_postfix.sh; root, Debian). Ours is the
whole service under its launcher: real commits, Celery running, logs on, RSA and Ed25519 signatures.
Everything stays on loopback; every run is bounded in count and time.

CPU is counted until the last event is in the tenants' logs. Jobs take turns when repeated, because
the queue's tables fill with dead rows between two vacuums; before the first, every domain was asked
for once.

Memory is the peak of the sum of PSS over all processes, with PostgreSQL's counted by their private
memory: its shared buffers are a cache whose size is a setting, not a need.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

from bench.signed_mail import senders_zone, signed_fields  # noqa: E402
from tests.ports import free_port  # noqa: E402
from tests.installation import Installation, installed  # noqa: E402


@dataclass(frozen=True)
class Job:
    """One kind of load: what is sent, by how many sessions, to how many tenants."""

    name: str
    count: int
    sessions: int = 20
    size: int = 6000
    tenants: int = 1
    sender: str = "someone@sender.example"
    trust: bool = False
    """Signed mail, verified (SPF, DKIM, ARC, DMARC) and sealed; else neither."""


JOBS = {
    job.name: job
    for job in (
        Job("forward", 6000),
        Job("tenants", 6000, tenants=50),
        Job("opaque", 6000, sender="b" * 50 + "@" + "mailer-with-a-long-name.sender.example"),
        Job("single", 600, sessions=1),
        Job("large", 60, sessions=5, size=2_000_000),
        Job("trust", 6000, trust=True),
        Job("trust-single", 600, sessions=1, trust=True),
        Job("trust-large", 60, sessions=5, size=2_000_000, trust=True),
    )
}
ALIASES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--no-anchor", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--data", help="folder for the data (default: below /var/tmp, on disk)")
    options = parser.parse_args()
    jobs = [JOBS[name] for name in options.jobs.split(",")]
    anchor = None if options.no_anchor else run_anchor()
    ours = {}
    for trust in (False, True):
        some = [job for job in jobs if job.trust is trust]
        if some:
            ours |= run_ours(some, options.repeat, options.data, trust=trust)
    again = None if options.no_anchor else run_anchor()
    report(jobs, ours, [one for one in (anchor, again) if one])


def run_anchor() -> dict[str, dict[str, float]]:
    """The anchor's figures for 6 KB and 2 MB: msg/s and CPU ms a message."""
    done = subprocess.run(
        ["bash", str(HERE / "anchor_postfix.sh"), "full"],
        env={**os.environ, "RUNS": "2000:20:6000:1 40:5:2000000:1", "PY": sys.executable},
        capture_output=True,
        text=True,
        timeout=500,
    )
    found = re.findall(
        r"([\d.]+) msg/s end to end.*?([\d.]+) cpu-ms/msg.*?\| \d+x(\d+)B", done.stdout
    )
    if len(found) < 2:
        sys.exit(f"the anchor did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {
        ("large" if int(size) > 100_000 else "forward"): {"rate": float(rate), "cpu": float(cpu)}
        for rate, cpu, size in found
    }


def run_ours(
    jobs: list[Job], repeat: int, folder: str | None, *, trust: bool
) -> dict[str, dict[str, float]]:
    """Our figures for each job; the best of `repeat` runs by rate."""
    results: dict[str, dict[str, float]] = {}
    sink = free_port()
    with (
        tempfile.TemporaryDirectory(dir=folder or "/var/tmp", prefix="mxax-bench-") as base,
        senders_zone() as zone,
    ):
        os.chmod(base, 0o755)
        with installed(
            Path(base),
            MXAX_DNS_SERVERS=zone,
            MXAX_VERIFY="on" if trust else "off",
            MXAX_ARC="on" if trust else "off",
            MXAX_SMARTHOST=f"127.0.0.1:{sink}",
            MXAX_FORWARD_CAP_PER_DAY="100000000",
            MXAX_CLIENT_CONNECTIONS="500",
            MXAX_LOG_LEVEL="INFO",
        ) as service:
            recipients = seed(service, max(job.tenants for job in jobs))
            for tenants in recipients:  # each domain has been asked for, by every process
                load(service, Job("warm-up", 300, tenants=tenants), recipients, sink)
            runs = [
                (job, load(service, job, recipients, sink)) for _ in range(repeat) for job in jobs
            ]
            for job in jobs:
                own = [run for one, run in runs if one is job]
                results[job.name] = max(own, key=lambda run: run["rate"])
            if not trust:
                results["idle"] = {"cpu": idle_cpu(service), "rate": 0}
    return results


def seed(service: Installation, tenants: int) -> dict[int, list[str]]:
    """Tenants with 1000 exact routes in all, by one process; gives the recipients by tenant count."""
    script = f"""
from tenants.services import create_tenant
from routing.services import add_domain
from routing.services import add_route
for number in range({max(tenants, 1)}):
    tenant = create_tenant(slug=f"bench{{number}}", owner_email="owner@bench.example", actor="bench")
    add_domain(tenant=tenant, name=f"bench{{number}}.example", by_operator=True, actor="bench")
    for alias in range({ALIASES} if number == 0 else {ALIASES} // max({tenants}, 1)):
        add_route(tenant=tenant, address=f"alias{{alias}}@bench{{number}}.example",
                  destinations=[f"user{{alias}}@dest.example"], confirmed=True, actor="bench")
"""
    service.manage("shell", "-c", script)
    one = [f"alias{n}@bench0.example" for n in range(ALIASES)]
    many = [f"alias{n % 20}@bench{n % tenants}.example" for n in range(ALIASES)]
    return {1: one, tenants: many if tenants > 1 else one}


def load(
    service: Installation, job: Job, recipients: dict[int, list[str]], sink: int
) -> dict[str, float]:
    """One run of load.py; exits where a message was lost, doubled or refused."""
    assert service.process is not None
    before = cpu_by_part(service)
    with (
        tempfile.NamedTemporaryFile("w", suffix=".txt") as listed,
        tempfile.NamedTemporaryFile("wb", suffix=".fields") as signature,
    ):
        listed.write("\n".join(recipients[job.tenants]))
        listed.flush()
        if job.trust:
            signature.write(signed_fields(job))
            signature.flush()
        done = subprocess.run(
            [
                *("flock", "/tmp/bench.lock", sys.executable, str(HERE / "load.py"), "--json"),
                *("--port", str(service.ports["MX"]), "--spawn-sink", str(sink)),
                *("--rcpt-file", listed.name, "--sender", job.sender, "--label", job.name),
                *("--count", str(job.count), "--sessions", str(job.sessions)),
                *("--size", str(job.size), "--tree", str(service.process.pid)),
                *("--idle", "10", "--max-time", "100", "--private", "postgres"),
                *(("--prepend", signature.name) if job.trust else ()),
            ],
            capture_output=True,
            text=True,
            timeout=220,
        )
    if not done.stdout.strip():
        sys.exit(f"{job.name}: {done.stderr[-2000:]}{service.tails()}")
    said = json.loads(done.stdout)
    print(
        f"# {job.name}: {said.get('msg_s')} msg/s, {said.get('cpu_ms_msg')} CPU ms so far, dot to 250 "
        f"{said['ms_250_after_dot']['p50']}/{said['ms_250_after_dot']['p99']} ms, 250 to sink "
        f"{said.get('ms_250_to_sink', {}).get('p50')} ms, lost {said.get('lost')}, twice "
        f"{said.get('duplicates')}, {said.get('peak_pss_mb')} MB {said['errors'] or ''}",
        flush=True,
    )
    service.manage("shell", "-c", UNTIL_LOGGED)
    after = cpu_by_part(service)
    parts = {part: (after[part] - before.get(part, 0)) * 1000 / job.count for part in after}
    shown = ", ".join(f"{part} {ms:.2f}" for part, ms in sorted(parts.items()) if ms >= 0.01)
    cpu = sum(parts.values())
    print(f"#   CPU ms a message until logged: {cpu:.2f}: {shown}", flush=True)
    if done.returncode:
        sys.exit(f"{job.name}: messages were lost, doubled or refused\n{service.tails()}")
    return {"rate": said["msg_s"], "cpu": cpu, "pss": said["peak_pss_mb"]}


# A message is done when its events are in the tenant's log: that work belongs to its run.
UNTIL_LOGGED = """
import time
from delivery.models import DeliveryEvent
ends = time.monotonic() + 60
while DeliveryEvent.objects.exists():
    assert time.monotonic() < ends, "the log writer does not keep up"
    time.sleep(0.1)
"""


PARTS = (
    ("edge", "-m smtp_edge"),
    ("worker", "celery -A mxax worker"),
    ("beat", "celery -A mxax.beat beat"),
    ("web", "gunicorn"),
    ("broker", "valkey-server"),
    ("catcher", "delivery.catcher"),
    ("metrics", "mxax.metrics"),
    ("postgres", "postgres"),
    ("launcher", "mxax.launcher"),
)


def cpu_by_part(service: Installation) -> dict[str, float]:
    """CPU seconds of each part of the service until now, ended children included."""
    assert service.process is not None
    sys.path.insert(0, str(HERE))
    from load import TICK, Meter

    found: dict[str, float] = {}
    for pid in Meter(roots=[service.process.pid]).pids():
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            command = open(f"/proc/{pid}/cmdline").read().replace("\0", " ")
        except OSError:
            continue
        part = next((name for name, mark in PARTS if mark in command), "others")
        found[part] = found.get(part, 0) + sum(int(field) for field in fields[11:15]) / TICK
    return found


def idle_cpu(service: Installation, seconds: float = 20) -> float:
    """CPU of all processes while nothing happens, in per cent of one core."""
    assert service.process is not None
    sys.path.insert(0, str(HERE))
    from load import Meter

    meter = Meter(roots=[service.process.pid])
    time.sleep(5)
    before = meter.cpu()
    time.sleep(seconds)
    return (meter.cpu() - before) / seconds * 100


def report(
    jobs: list[Job], ours: dict[str, dict[str, float]], anchors: list[dict[str, dict[str, float]]]
) -> None:
    """The table; ratios against the mean of the anchor's runs."""
    print("| job | msg/s | CPU ms a message | x the anchor's rate | of its CPU |")
    print("| --- | --- | --- | --- | --- |")
    for name in ("forward", "large"):
        for run in anchors:
            print(f"| anchor, {name} | {run[name]['rate']:.0f} | {run[name]['cpu']:.2f} | | |")
    for job in jobs:
        mine = ours[job.name]
        ratio = share = "-"
        if anchors:
            kind = "large" if job.name == "large" else "forward"
            rate = sum(run[kind]["rate"] for run in anchors) / len(anchors)
            cpu = sum(run[kind]["cpu"] for run in anchors) / len(anchors)
            ratio, share = f"{mine['rate'] / rate:.2f}", f"{mine['cpu'] / cpu:.2f}"
        print(f"| {job.name} | {mine['rate']:.0f} | {mine['cpu']:.2f} | {ratio} | {share} |")
    for other in ours.keys() & {"tenants", "opaque"} if "forward" in ours else ():
        rate = (ours[other]["rate"] / ours["forward"]["rate"] - 1) * 100
        cpu = (ours[other]["cpu"] / ours["forward"]["cpu"] - 1) * 100
        print(f"\n{other} beside forward: {rate:+.0f} % messages/s, {cpu:+.0f} % CPU a message")
    peak = max(ours[job.name]["pss"] for job in jobs)
    if "idle" in ours:
        print(f"\nidle {ours['idle']['cpu']:.1f} % of a core")
    print(f"\npeak {peak:.0f} MB (PSS; PostgreSQL: private)")


if __name__ == "__main__":
    main()
