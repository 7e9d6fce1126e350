"""Ports: tried before anything starts, so that two installations never share one silently.

Our listeners set SO_REUSEPORT, with which a second installation would take half of the mail of the
first without an error. So the launcher first binds each port without it, and keeps a claim on it
for as long as it lives: an abstract Unix socket named after the address, which the kernel frees
with the process and which is per network namespace, as ports are. Linux only; elsewhere only the
trial remains.
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mxax.launcher.errors import StartError
from mxax.setting_values import HostPort

_TRIES = 200
_LOWEST = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(slots=True)
class PortClaims:
    """The ports this launcher uses; keep it for the life of the launcher."""

    _held: list[socket.socket] = field(default_factory=list)
    _taken: set[HostPort] = field(default_factory=set)

    def choose(self, wanted: HostPort, *, setting: str, explicit: bool) -> HostPort:
        """The port wanted, or, when it is only a default and taken, the next free one.

        Raises `StartError` for one that was set explicitly and cannot be had.
        """
        if wanted.port == 0:
            return self.free_port(wanted.host)
        highest = wanted.port if explicit else min(wanted.port + _TRIES, 65535)
        for port in range(wanted.port, highest + 1):
            where = HostPort(wanted.host, port)
            try:
                self.claim(where)
            except OSError as wrong:
                if explicit or wrong.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise StartError(_cure(setting, where, wrong)) from None
            else:
                return where
        raise StartError(f"{setting}: no free port from {wanted} on: set another one")

    def free_port(self, host: str = "127.0.0.1") -> HostPort:
        """Any free port of the quiet ones."""
        for port in random.sample(quiet_ports(), _TRIES):
            where = HostPort(host, port)
            try:
                self.claim(where)
            except OSError:
                continue
            return where
        raise StartError(f"no free port at {host}")

    def claim(self, where: HostPort) -> None:
        """Keep the port for us. Raises `OSError` when anyone else has it."""
        if where in self._taken:
            raise OSError(errno.EADDRINUSE, "another listener of ours has it")
        held = _claim_socket(where)
        try:
            with _bound(where) as trial:
                trial.listen(1)
        except OSError:
            if held:
                held.close()
            raise
        if held:
            self._held.append(held)
        self._taken.add(where)

    def descriptors(self) -> tuple[int, ...]:
        """For the guard, which keeps the claims until the last child is gone."""
        return tuple(held.fileno() for held in self._held)

    def close(self) -> None:
        for held in self._held:
            held.close()
        self._held.clear()
        self._taken.clear()


def quiet_ports() -> range:
    """Ports that the kernel gives to no outgoing connection (above 10,000 where there are any).

    A server that listens on one of the others may find it taken when it is started again.
    """
    try:
        lowest, highest = map(int, _EPHEMERAL.read_text().split())
    except (OSError, ValueError):
        lowest, highest = 32768, 60999
    below, above = range(_LOWEST, lowest), range(highest + 1, 65536)
    widest = max(below, above, key=len)
    return widest if len(widest) >= _TRIES else range(_LOWEST, 65536)


def _claim_socket(where: HostPort) -> socket.socket | None:
    if not sys.platform.startswith("linux"):
        return None
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"\0mxax-port-{where}".encode())
    except OSError:
        held.close()
        raise
    return held


def _bound(where: HostPort) -> socket.socket:
    """A socket bound without SO_REUSEPORT. SO_REUSEADDR lets only old TIME_WAITs pass."""
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    trial = socket.socket(family, socket.SOCK_STREAM)
    try:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((where.host, where.port))
    except OSError:
        trial.close()
        raise
    return trial


def _cure(setting: str, where: HostPort, wrong: OSError) -> str:
    shown = f"{setting}={where}"
    if wrong.errno == errno.EADDRINUSE:
        return (
            f"{shown}: another program has this port, or another of our listeners: set another port"
        )
    if wrong.errno == errno.EACCES:
        return f"{shown}: ports below 1024 need root or CAP_NET_BIND_SERVICE: set a higher port"
    if wrong.errno == errno.EADDRNOTAVAIL:
        return f"{shown}: this machine does not have that address: set one that it has"
    return f"{shown}: cannot listen there ({wrong.strerror})"
