"""A whole installation for journeys: the real launcher, real processes, real sockets.

Everything lives in a temporary data folder on free loopback ports; nothing is shared with another
installation. What a person would do by command is done by command here.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from mxax.data_folder import DataFolder
from mxax.launcher.postgres import remove_cluster
from tests.ports import free_port

PROJECT = Path(__file__).resolve().parent.parent
LISTENERS = ("WEB", "MX", "CATCHER", "METRICS")


@dataclass
class Caught:
    """One message as the catcher stored it."""

    octets: bytes
    reverse_path: str
    forward_path: str

    @property
    def message(self) -> Any:
        return message_from_bytes(self.octets, policy=policy.default)


@dataclass
class Installation:
    """A running service and the means to use it like its people do."""

    data_dir: Path
    ports: dict[str, int]
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    # --- life

    def environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MXAX_", "DATABASE_", "CELERY_", "DJANGO_", "MAKE"))
        }
        listen = {f"MXAX_{n}_LISTEN": f"127.0.0.1:{self.ports[n]}" for n in LISTENERS}
        # Who tests verification brings his own DNS; nobody asks the machine's.
        verify = {} if "MXAX_DNS_SERVERS" in self.extra else {"MXAX_VERIFY": "off"}
        return {**inherited, "MXAX_DATA_DIR": str(self.data_dir), **listen, **verify, **self.extra}

    def start(self, patience: float = 120) -> None:
        with open(self.data_dir.parent / "launcher.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mxax.launcher", "run"],
                cwd=PROJECT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_for(self.is_ready, patience, "the service to be ready")

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None

    def is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the launcher ended: {self.said()[-2000:]}")
        import urllib.error
        import urllib.request

        try:
            url = f"http://127.0.0.1:{self.ports['WEB']}/readyz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def said(self) -> str:
        return (self.data_dir.parent / "launcher.log").read_text(errors="replace")

    def wait_for(self, what: Callable[[], object], patience: float, name: str) -> Any:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if found := what():
                return found
            time.sleep(0.05)
        raise AssertionError(f"waited {patience} s for {name}; logs: {self.tails()}")

    def tails(self) -> str:
        parts = []
        for log in sorted((self.data_dir / "log").glob("*")):
            text = log.read_text(errors="replace")[-600:]
            if text.strip():
                parts.append(f"\n--- {log.name}\n{text}")
        return "".join(parts)

    # --- commands

    def manage(self, *words: str, check: bool = True, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check and done.returncode:
            raise AssertionError(f"manage.py {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def manage_json(self, *words: str) -> Any:
        return json.loads(self.manage(*words, "--json"))

    def tenant(self, slug: str, domain: str, *routes: tuple[str, str]) -> None:
        """A tenant with a verified domain and confirmed routes."""
        self.manage("tenant", "create", slug, "--owner", f"owner@{slug}.example")
        self.manage("domain", "add", slug, domain, "--verified")
        for address, destination in routes:
            self.manage("route", "add", slug, address, destination, "--confirmed")

    # --- mail

    def smtp(self, **options: Any) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.ports["MX"], "author.example", timeout=60, **options)

    def send(
        self, recipients: str | list[str], *, subject: str = "hello", size: int = 0, **fields: str
    ) -> str:
        """Send one message; gives the last word of the reply to DATA, the trace id."""
        message = EmailMessage(policy=policy.SMTP)
        message["From"] = fields.pop("author", "Ada <ada@author.example>")
        message["To"] = "somebody@author.example"
        message["Subject"] = subject
        message["Message-ID"] = f"<{time.time_ns()}@author.example>"
        message.set_content("hello\n" + ("x" * 70 + "\n") * (size // 71))
        wanted = [recipients] if isinstance(recipients, str) else recipients
        with self.smtp() as client:
            client.ehlo()
            code, text = client.mail(fields.pop("reverse_path", "ada@author.example"))
            assert code == 250, text
            for recipient in wanted:
                code, text = client.rcpt(recipient)
                assert code == 250, text
            code, text = client.data(message.as_bytes())
            assert code == 250, text
        return text.decode().split()[-1]

    def caught(self) -> list[Caught]:
        return [read_caught(path) for path in sorted((self.data_dir / "mail/new").glob("*"))]

    def caught_with(self, text: str) -> list[Caught]:
        return [one for one in self.caught() if text.encode() in one.octets]

    def wait_caught(self, text: str, count: int = 1, patience: float = 30) -> list[Caught]:
        """Wait until `count` messages with this text came out."""

        def enough() -> list[Caught] | None:
            found = self.caught_with(text)
            return found if len(found) >= count else None

        return self.wait_for(enough, patience, f"{count} messages with {text!r}")

    # --- processes

    def pids(self, what: str) -> list[int]:
        """Processes of this installation whose command line has `what` in it."""
        return [pid for pid, command in processes_of(self.data_dir) if what in command]

    def kill(self, what: str, how: int = signal.SIGKILL) -> None:
        for pid in self.pids(what):
            os.kill(pid, how)


def read_caught(path: Path) -> Caught:
    """The catcher prepends the envelope as two fields."""
    octets = path.read_bytes()
    envelope = {}
    while octets.startswith(b"X-Envelope-"):
        line, _, octets = octets.partition(b"\r\n")
        name, _, value = line.partition(b":")
        envelope[name.decode()] = value.decode().strip().strip("<>")
    return Caught(octets, envelope.get("X-Envelope-From", ""), envelope.get("X-Envelope-To", ""))


def processes_of(data_dir: Path) -> Iterator[tuple[int, str]]:
    """(pid, command line) of every process that was started for this data folder.

    By its environment or command line, or because the launcher started it: the embedded servers
    have neither our variables nor, once they run, a path in their titles.
    """
    mark = f"MXAX_DATA_DIR={data_dir}".encode()
    children = _children_of_the_launcher(data_dir)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        pid = int(entry.name)
        if mark in environment.split(b"\0") or str(data_dir) in command or pid in children:
            yield pid, command


def _children_of_the_launcher(data_dir: Path) -> frozenset[int]:
    try:
        launcher = json.loads((data_dir / "run" / "state.json").read_text())["pid"]
        found = Path(f"/proc/{launcher}/task/{launcher}/children").read_text()
    except (OSError, ValueError, KeyError):
        return frozenset()
    return frozenset(int(pid) for pid in found.split())


@contextmanager
def installed(folder: Path, **extra: str) -> Iterator[Installation]:
    """A running installation below `folder`, ended and gone afterwards."""
    data_dir = folder / "data"
    data_dir.mkdir(parents=True)
    one = Installation(data_dir, {name: free_port() for name in LISTENERS}, dict(extra))
    try:
        one.start()
        yield one
    finally:
        one.stop()
        if (data_dir / "postgres.path").exists():  # as root the cluster may lie elsewhere
            remove_cluster(DataFolder(data_dir))
