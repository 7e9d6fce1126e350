"""Two installations never share a port silently."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mxax.launcher.errors import StartError
from mxax.launcher.ports import PortClaims
from mxax.setting_values import HostPort

SETTING = "MXAX_MX_LISTEN"


@pytest.fixture
def ours() -> Iterator[PortClaims]:
    claims = PortClaims()
    yield claims
    claims.close()


@pytest.fixture
def theirs() -> Iterator[PortClaims]:
    claims = PortClaims()
    yield claims
    claims.close()


def sharing_listener(port: int = 0) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def test_default_port_of_a_sharing_listener_moves_to_the_next(ours: PortClaims) -> None:
    with closing(sharing_listener()) as other:
        taken = HostPort("127.0.0.1", other.getsockname()[1])

        chosen = ours.choose(taken, setting=SETTING, explicit=False)

    assert chosen.port > taken.port


def test_explicit_port_that_is_taken_is_refused(ours: PortClaims) -> None:
    with closing(sharing_listener()) as other:
        taken = HostPort("127.0.0.1", other.getsockname()[1])

        with pytest.raises(StartError, match=f"MXAX_MX_LISTEN=127.0.0.1:{taken.port}: another"):
            ours.choose(taken, setting=SETTING, explicit=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_free_port_is_none_that_an_outgoing_connection_may_take(ours: PortClaims) -> None:
    outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()

    chosen = {ours.free_port().port for _ in range(20)}

    assert len(chosen) == 20
    assert not chosen & set(range(int(outgoing[0]), int(outgoing[1]) + 1))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="claims need abstract sockets")
def test_port_is_ours_before_anything_listens(ours: PortClaims, theirs: PortClaims) -> None:
    first = ours.free_port()

    second = theirs.choose(first, setting=SETTING, explicit=False)

    assert second.port > first.port


def test_two_settings_with_one_port_are_refused(ours: PortClaims) -> None:
    first = ours.free_port()

    with pytest.raises(StartError):
        ours.choose(first, setting="MXAX_WEB_LISTEN", explicit=True)


def test_sharing_listener_of_ours_may_bind_the_claimed_port(ours: PortClaims) -> None:
    where = ours.free_port()

    with closing(sharing_listener(where.port)), closing(sharing_listener(where.port)):
        pass


def test_port_is_free_at_once_after_connections_ended(ours: PortClaims) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        where = HostPort("127.0.0.1", server.getsockname()[1])
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()  # the server's side waits in TIME_WAIT now
        client.close()

    assert ours.choose(where, setting=SETTING, explicit=True) == where


def test_address_of_another_machine_has_its_own_line(ours: PortClaims) -> None:
    elsewhere = HostPort("192.0.2.1", 2525)

    with pytest.raises(StartError, match="does not have that address"):
        ours.choose(elsewhere, setting=SETTING, explicit=False)
