"""A hold on the database connection of one thread, by which another thread can cut it.

A server that hangs keeps a thread inside `recv` for as long as it likes. Shutting the socket down
wakes the thread with an error, and tells the server, whenever it wakes up, that nobody is there.
"""

import contextlib
import os
import socket
import threading

from django.db import connection


class Lifeline:
    """Made by anyone, tied by the thread whose connection it is, cut by any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tied_to: object = None
        self._socket: socket.socket | None = None

    def tie(self) -> None:
        """Connect this thread if need be, and hold its socket. Raises what connecting raises."""
        connection.ensure_connection()
        raw = connection.connection
        if raw is self._tied_to:
            return
        with self._lock:
            self._close()
            # A descriptor of our own: theirs may be closed and given to another connection.
            self._socket = socket.socket(fileno=os.dup(raw.fileno()))
            self._tied_to = raw

    def untie(self) -> None:
        """Close this thread's connection and let go."""
        with self._lock:
            self._close()
        connection.close()

    def cut(self) -> None:
        """End the connection from another thread; nothing happens when there is none."""
        with self._lock:
            if self._socket is None:
                return
            with contextlib.suppress(OSError):  # the server was faster
                self._socket.shutdown(socket.SHUT_RDWR)
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._tied_to = None, None
