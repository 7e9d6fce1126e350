"""Next hops by MX record on loopback: some take mail, some are dead, all known to one DNS zone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.reliability.ledger import SinkLedger

SPF_OF_OUR_CLIENTS = ("TXT", ["v=spf1 ip4:127.0.0.1 -all"])


class Always(list[str]):
    """A script of the sink that gives the same reply for ever."""

    def pop(self, _index: object = -1) -> str:
        return self[0]


@dataclass
class NextHops:
    """All listen on one port, each on an address of its own."""

    zone: Zone
    ledger: SinkLedger
    _listeners: list[socket.socket] = field(default_factory=list)

    @property
    def sink(self) -> Sink:
        return self.ledger.sink

    @property
    def port(self) -> int:
        return self.sink.port

    def takes_mail(self, *domains: str) -> None:
        """Mail to these domains comes to the sink; clients on loopback may use their addresses."""
        for domain in domains:
            self.zone.names[domain] = [("MX", (10, "alive.mx.example")), SPF_OF_OUR_CLIENTS]

    def is_dead(self, domain: str, address: str) -> None:
        """Nobody listens there: connections are refused."""
        self._point(domain, address)

    def is_mute(self, domain: str, address: str) -> None:
        """Connections are taken, and nothing is ever said."""
        self._point(domain, address)
        self._listeners.append(socket.create_server((address, self.port), backlog=512))

    def _point(self, domain: str, address: str) -> None:
        self.zone.names[domain] = [("MX", (10, f"mx.{domain}"))]
        self.zone.names[f"mx.{domain}"] = [("A", address)]

    def settings(self) -> dict[str, str]:
        """For a service that delivers to them directly."""
        host, port = self.zone.address
        return {
            "MXAX_SMARTHOST": "direct",
            "MXAX_DNS_SERVERS": f"{host}:{port}",
            "MXAX_NEXT_HOP_PORT": str(self.port),
            "MXAX_ALLOW_PRIVATE_NEXT_HOPS": "on",
        }

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


@contextmanager
def next_hops(ledger: SinkLedger) -> Iterator[NextHops]:
    with serve(Zone({"alive.mx.example": [("A", "127.0.0.1")]})) as zone:
        made = NextHops(zone, ledger)
        try:
            yield made
        finally:
            made.close()
