"""Free ports for the servers that tests start.

They lie outside the range from which the kernel takes the ports of outgoing connections: a port of
that range may be free when it is chosen and taken a moment later by anybody's client. Each port is
kept for the process that chose it by an abstract Unix socket, so that parallel workers and parallel
runs never choose the same one.
"""

from __future__ import annotations

import random
import socket

from mxax.launcher.ports import quiet_ports

_held: list[socket.socket] = []


def free_port() -> int:
    """A port that is free for TCP and UDP at all addresses, and kept until this process ends."""
    ports = quiet_ports()
    for port in random.sample(ports, len(ports)):
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0mxax-test-port-{port}".encode())
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.bind(("0.0.0.0", port))
                udp.bind(("0.0.0.0", port))
        except OSError:
            held.close()
            continue
        _held.append(held)
        return port
    raise RuntimeError("no free port")
