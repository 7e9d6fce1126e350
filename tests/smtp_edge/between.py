"""A man in the middle between the edge and PostgreSQL, to stop, freeze and wake the database.

Frozen means: octets are taken and nothing comes back, as with a server that was stopped by a
signal. What was taken is handed over when it wakes up, in order, and so is the end of a connection.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from urllib.parse import urlsplit


class Between:
    """Listens on `port`; one thread for each direction of each connection."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._awake = threading.Event()
        self._awake.set()
        self._is_stopped = False
        self.freeze_at: bytes | None = None
        """Freeze as soon as the client sends these octets, before they are handed over."""
        self._sockets: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._welcome, daemon=True).start()

    def url(self, database_url: str, name: str) -> str:
        """The URL of a database through here."""
        parts = urlsplit(database_url)
        login = parts.netloc.rpartition("@")[0]
        return f"{parts.scheme}://{login}@127.0.0.1:{self.port}/{name}"

    def freeze(self) -> None:
        self._awake.clear()

    def wake(self) -> None:
        self.freeze_at = None
        self._awake.set()

    @property
    def is_frozen(self) -> bool:
        return not self._awake.is_set()

    def stop(self) -> None:
        """Break all connections and take no new ones."""
        self._is_stopped = True
        for one in self._sockets:
            _close(one)
        self._sockets.clear()

    def start(self) -> None:
        self._is_stopped = False

    def close(self) -> None:
        self.wake()
        self.stop()
        _close(self._door)

    def _welcome(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            if self._is_stopped:
                _close(client)
                continue
            server = socket.create_connection(self._upstream)
            self._sockets += [client, server]
            for source, target, is_client in ((client, server, True), (server, client, False)):
                threading.Thread(
                    target=self._carry, args=(source, target, is_client), daemon=True
                ).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        try:
            while octets := source.recv(65536):
                if is_client and self.freeze_at is not None and self.freeze_at in octets:
                    self.freeze()
                self._awake.wait()
                target.sendall(octets)
            self._awake.wait()
        except OSError:
            pass
        # A moment for the server to act on what it got before it learns that nobody waits.
        time.sleep(0.05)
        for one in (source, target):
            _close(one)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
