"""A DNS server with a zone of the test's own, on a free port of the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dnslib import CNAME, NS, QTYPE, RCODE, RR, SOA, TXT, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer

from tests.ports import free_port


@dataclass
class Zone(BaseResolver):
    """Answers for everything below its origin; `fails` names answer SERVFAIL, `silent` nothing."""

    origin: str = "example."
    records: dict[tuple[str, str], list[object]] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    port: int = 0

    def clear(self) -> None:
        self.records.clear()
        self.fails.clear()
        self.asked.clear()

    def publish(self, name: str, *texts: str) -> None:
        self.records[(f"{name}.", "TXT")] = [TXT(_pieces(text)) for text in texts]

    def publish_cname(self, name: str, target: str) -> None:
        self.records[(f"{name}.", "CNAME")] = [CNAME(target)]

    def resolve(self, request: DNSRecord, handler: object) -> DNSRecord:
        name, kind = str(request.q.qname).lower(), QTYPE[request.q.qtype]
        self.asked.append((name, kind, bool(request.header.rd)))
        reply = request.reply(aa=1)
        if name in self.fails:
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        self._answer(reply, name, kind)
        return reply

    def _answer(self, reply: DNSRecord, name: str, kind: str) -> None:
        if name == self.origin and kind == "NS":
            reply.add_answer(RR(name, QTYPE.NS, rdata=NS(f"ns.{self.origin}"), ttl=1))
        elif name == self.origin and kind == "SOA":
            reply.add_answer(RR(name, QTYPE.SOA, rdata=self._soa(), ttl=1))
        elif name == f"ns.{self.origin}" and kind == "A":
            reply.add_answer(RR(name, QTYPE.A, rdata=A("127.0.0.1"), ttl=1))
        elif (name, "CNAME") in self.records:
            self._follow(reply, name, kind)
        elif (name, kind) in self.records:
            for data in self.records[(name, kind)]:
                reply.add_answer(RR(name, getattr(QTYPE, kind), rdata=data, ttl=1))
        else:
            known = name == self.origin or any(n == name for n, _ in self.records)
            reply.header.rcode = RCODE.NOERROR if known else RCODE.NXDOMAIN
            reply.add_auth(RR(self.origin, QTYPE.SOA, rdata=self._soa(), ttl=1))

    def _follow(self, reply: DNSRecord, name: str, kind: str) -> None:
        (alias,) = self.records[(name, "CNAME")]
        reply.add_answer(RR(name, QTYPE.CNAME, rdata=alias, ttl=1))
        for data in self.records.get((str(alias.label), kind), []):
            reply.add_answer(RR(str(alias.label), getattr(QTYPE, kind), rdata=data, ttl=1))

    def _soa(self) -> SOA:
        return SOA(f"ns.{self.origin}", f"hostmaster.{self.origin}", (1, 60, 60, 60, 1))


def _pieces(text: str) -> list[bytes]:
    octets = text.encode("latin-1")
    return [octets[start : start + 255] for start in range(0, len(octets), 255)]


@contextmanager
def served(zone: Zone) -> Iterator[Zone]:
    """The zone on UDP and TCP of one free port."""
    zone.port = free_port()
    quiet = type("Quiet", (), {"__getattr__": lambda self, name: lambda *args: None})()
    servers = [
        DNSServer(zone, "127.0.0.1", zone.port, tcp=tcp, logger=quiet) for tcp in (False, True)
    ]
    for server in servers:
        server.start_thread()
    try:
        yield zone
    finally:
        for server in servers:
            server.stop()
            server.server.server_close()
