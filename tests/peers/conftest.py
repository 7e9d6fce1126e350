"""A whole service that delivers directly, in a world of one DNS zone and one port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.installation import Installation, installed
from tests.ports import free_port

POSTFIX, EXIM, OPENSMTPD, AUTHOR, JUDGE = (f"127.0.0.{number}" for number in range(21, 26))
NAMES = {"postfix.example": POSTFIX, "exim.example": EXIM, "opensmtpd.example": OPENSMTPD, "judge.example": JUDGE}  # fmt: skip


@dataclass
class World:
    service: Installation
    zone: Zone
    port: int
    """Where all mail hosts of this world listen."""
    author: Sink
    """The next hop of author.example."""

    @property
    def mx(self) -> str:
        return f"[127.0.0.1]:{self.service.ports['MX']}"

    def wait_for(self, what: Callable[[], Any], peer_log: Callable[[], str]) -> Any:
        """What it gives when it is true; a failure shows the peer's log."""
        try:
            return self.service.wait_for(what, 40, "the peer")
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- the peer\n{peer_log()[-2500:]}") from None

    def dkim_records(self) -> dict[str, str]:
        return {name: text for name, text in self.texts() if text.startswith("v=DKIM1")}

    def texts(self) -> list[tuple[str, str]]:
        found = self.service.manage_json("service", "records")
        return [(one["name"], one["value"]) for one in found if one["type"] == "TXT"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    port = free_port()
    zone = Zone({
        "author.example": [("MX", (10, "mx.author.example")), ("TXT", ["v=spf1 ip4:127.0.0.1 -all"])],
        "mx.author.example": [("A", AUTHOR)],
        "mxax.test": [("A", "127.0.0.1")],
    })  # fmt: skip
    for name, address in NAMES.items():
        zone.names[name] = [("MX", (10, f"mx.{name}"))]
        zone.names[f"mx.{name}"] = [("A", address)]
    author = Sink(host=AUTHOR, port=port).start()
    with serve(zone):
        host, dns_port = zone.address
        settings = {
            "MXAX_SMARTHOST": "direct",
            "MXAX_DNS_SERVERS": f"{host}:{dns_port}",
            "MXAX_NEXT_HOP_PORT": str(port),
            "MXAX_ALLOW_PRIVATE_NEXT_HOPS": "on",
        }
        with installed(tmp_path_factory.mktemp("peers"), **settings) as service:
            one = World(service, zone, port, author)
            for name, text in one.texts():
                zone.names.setdefault(name, []).append(("TXT", split(text)))
            routes = [(f"{who}@ada.example", f"{who}.{name.split('.')[0]}@{name}")
                      for name in NAMES for who in (f"ok-{name.split('.')[0]}",)]  # fmt: skip
            service.tenant("ada", "ada.example", *routes,
                           ("late@ada.example", "late@postfix.example"),
                           ("gone@ada.example", "gone@postfix.example"))  # fmt: skip
            yield one
    author.stop()


def split(text: str) -> list[str]:
    """A TXT record's strings of 255 octets at most."""
    return [text[at : at + 255] for at in range(0, len(text), 255)]
