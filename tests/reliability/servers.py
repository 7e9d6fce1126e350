"""Servers of the test's own beside the service, so that it can stop, freeze, wipe and start them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mxax.data_folder import DataFolder
from mxax.launcher import broker, postgres
from mxax.launcher.supervisor import ChildSpec
from tests.ports import free_port


class Server:
    """One server process; its data outlives it."""

    def __init__(self) -> None:
        # Not below pytest's folder: PostgreSQL's user must get there, and each run of pytest
        # takes that away from others.
        self.folder = DataFolder(Path(tempfile.mkdtemp(prefix="mxax-server-")))
        self.folder.path.chmod(0o711)
        self.folder.make()
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def spec(self) -> ChildSpec:
        raise NotImplementedError

    def wait_until_ready(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        spec = self.spec()
        options = spec.user.process_options() if spec.user else {}
        with open(self.folder.log / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                spec.command,
                env=dict(spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **options,
            )
        self.wait_until_ready()

    def stop(self, how: int = signal.SIGINT) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def pids(self) -> list[int]:
        """The server's process and its children."""
        assert self.process is not None
        main = self.process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    def freeze(self) -> list[int]:
        """SIGSTOP for all of it, the parent first so that no child is missed."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        frozen = self.pids()
        for pid in frozen[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return frozen

    def wake(self, frozen: list[int]) -> None:
        for pid in reversed(frozen):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _meanwhile(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError((self.folder.log / "server.log").read_text()[-2000:])
        time.sleep(0.1)


class OwnPostgres(Server):
    """A cluster that the service knows by DATABASE_URL only."""

    def __init__(self) -> None:
        super().__init__()
        self._server = postgres.prepare(self.folder, chosen=None, port=self.port)
        self.start()
        postgres.ensure_database(self._server)

    def spec(self) -> ChildSpec:
        return postgres.child_spec(self._server)

    def wait_until_ready(self) -> None:
        postgres.wait_until_ready(self._server, meanwhile=self._meanwhile)

    @property
    def url(self) -> str:
        return self._server.login_url

    @property
    def admin_url(self) -> str:
        return self._server.admin_url

    def remove(self) -> None:
        self.stop()
        postgres.remove_cluster(self.folder)
        super().remove()


class OwnValkey(Server):
    """A broker that keeps nothing: each start is a wiped one."""

    def __init__(self) -> None:
        super().__init__()
        self._server = broker.prepare(self.folder, port=self.port)
        self.start()

    def spec(self) -> ChildSpec:
        return broker.child_spec(self._server)

    def wait_until_ready(self) -> None:
        broker.wait_until_ready(self._server, meanwhile=self._meanwhile)

    @property
    def url(self) -> str:
        return self._server.url
