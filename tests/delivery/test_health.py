"""Ready means: the database takes writes, the edge answers, a sending loop lives."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.utils import timezone

from delivery import health
from delivery.models import WorkerHeartbeat
from mxax.setting_values import HostPort


class ScriptedEdge:
    """Answers with these lines, one a command, and remembers what it was told."""

    def __init__(self, *replies: bytes) -> None:
        self.replies, self.heard = replies, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where = HostPort("127.0.0.1", self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        client, _ = self.listener.accept()
        with client, client.makefile("rb") as lines:
            for reply in self.replies:
                client.sendall(reply + b"\r\n")
                self.heard.append(lines.readline().strip())

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def edge():
    made: list[ScriptedEdge] = []

    def start(*replies: bytes) -> ScriptedEdge:
        made.append(ScriptedEdge(*replies))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_the_probe_asks_for_our_postmaster(edge):
    one = edge(b"220-mx\r\n220 mx", b"250-mx\r\n250 SIZE", b"250 Ok", b"250 2.1.5 Recipient ok")

    reply = health.probe_edge(one.where, "mxax.test")

    assert reply == "250 2.1.5 Recipient ok"
    assert one.heard[2] == b"RCPT TO:<postmaster@mxax.test>"


def test_behind_proxies_on_this_machine_the_probe_speaks_for_itself(edge, settings):
    settings.ENV = replace(settings.ENV, trusted_proxies=(ip_network("127.0.0.0/8"),))
    one = edge(b"220 mx", b"250 mx", b"250 Ok", b"250 2.1.5 Recipient ok")

    health.probe_edge(one.where, "mxax.test")

    assert one.heard[0] == b"PROXY UNKNOWN"


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        (b"250 2.1.5 Ok", True),
        (b"550 5.1.1 No operator here", True),
        (b"451 4.3.0 Later", False),
        (b"421 4.3.2 Going down", False),
    ],
)
def test_an_edge_that_says_later_is_not_ready(edge, monkeypatch, reply, ready):
    one = edge(b"220 mx", b"250 mx", b"250 Ok", reply)
    probe = health.probe_edge
    monkeypatch.setattr(health, "probe_edge", lambda where, name: probe(one.where, name))

    assert health._edge()[0] is ready


def test_an_edge_that_speaks_no_smtp_is_not_ready(edge, monkeypatch):
    one = edge(b"HTTP/1.1 400 Bad Request")
    probe = health.probe_edge
    monkeypatch.setattr(health, "probe_edge", lambda where, name: probe(one.where, name))

    check = health._checked("edge", health._edge)

    assert (check.ok, check.detail) == (False, "does not answer (not a reply)")


@pytest.mark.django_db
@pytest.mark.parametrize(("age", "ready"), [(14, True), (16, False), (None, False)])
def test_a_sending_loop_gave_a_sign_within_fifteen_seconds(age, ready):
    if age is not None:
        at = timezone.now() - timedelta(seconds=age)
        WorkerHeartbeat.objects.create(name="host:1", at=at)

    assert health._workers()[0] is ready


@pytest.mark.django_db
def test_a_database_that_takes_no_writes_is_not_ready(monkeypatch):
    ready = health._checked("database", health._database)
    monkeypatch.setattr(health, "_WRITE", "SELECT 1 / 0")

    check = health._checked("database", health._database)

    assert ready.ok
    assert (check.ok, check.detail) == (False, "the database is away, or takes no writes")
