"""A DNS server on loopback with a zone in memory, for tests that ask real questions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from dnslib import AAAA, CNAME, MX, PTR, QTYPE, RCODE, RR, SOA, TXT, A, DNSRecord
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from tests.ports import free_port

Records = Sequence["tuple[str, object] | str"]
UDP_OCTETS = 1232
"""What is longer is truncated, as every resolver does it."""
_MAKE = {"A": A, "AAAA": AAAA, "CNAME": CNAME, "PTR": PTR}


class Zone(BaseResolver):
    """Names to records: ("A", "192.0.2.1"), ("MX", (10, "mx.example")), ("TXT", ["a", "b"]).

    The string "FAIL" in a name's records answers SERVFAIL where nothing else of the kind is there.
    `asked` counts questions. Negative answers carry an SOA with this minimum.
    """

    def __init__(
        self, names: dict[str, Records], *, ttl: int = 300, negative_ttl: int = 60
    ) -> None:
        self.names = {name.lower().rstrip("."): list(records) for name, records in names.items()}
        self.ttl, self.negative_ttl = ttl, negative_ttl
        self.asked: list[tuple[str, str]] = []
        self.address = ("127.0.0.1", 0)

    def resolve(self, request: DNSRecord, handler: Any) -> DNSRecord:
        reply = request.reply()
        name = b".".join(request.q.qname.label).decode("latin-1").lower()
        kind = QTYPE[request.q.qtype]
        self.asked.append((name, kind))
        self._fill(reply, request.q.qname, name, kind)
        if handler.protocol == "udp" and len(reply.pack()) > UDP_OCTETS:
            reply.rr, reply.auth, reply.header.tc = [], [], 1
        return reply

    def _fill(self, reply: DNSRecord, qname: object, name: str, kind: str) -> None:
        for _ in range(10):
            records = self.names.get(name)
            if records is None:
                reply.header.rcode = RCODE.SERVFAIL if name.startswith("error.") else RCODE.NXDOMAIN
                break
            found = [value for value in records if not isinstance(value, str) and value[0] == kind]
            for _, value in found:
                reply.add_answer(
                    RR(qname, getattr(QTYPE, kind), ttl=self.ttl, rdata=_data(kind, value))
                )
            alias = [
                value for value in records if not isinstance(value, str) and value[0] == "CNAME"
            ]
            if found or not alias:
                if not found and "FAIL" in records:
                    reply.header.rcode = RCODE.SERVFAIL
                break
            qname, name = alias[0][1], str(alias[0][1]).lower().rstrip(".")
            reply.add_answer(RR(reply.q.qname if len(reply.rr) == 0 else reply.rr[-1].rdata.label,
                                QTYPE.CNAME, ttl=self.ttl, rdata=CNAME(qname)))  # fmt: skip
        if not reply.rr and reply.header.rcode in (RCODE.NOERROR, RCODE.NXDOMAIN):
            times = (1, 3600, 600, 86400, self.negative_ttl)
            soa = SOA("ns.example", "hostmaster.example", times)
            reply.add_auth(RR(".", QTYPE.SOA, ttl=self.negative_ttl, rdata=soa))


def _data(kind: str, value: object) -> object:
    if kind == "MX":
        return MX(value[1] or ".", value[0])
    if kind == "TXT":
        texts = [value] if isinstance(value, str | bytes) else value
        return TXT([text.encode() if isinstance(text, str) else text for text in texts])
    return _MAKE[kind](value)


@contextlib.contextmanager
def serve(zone: Zone) -> Iterator[Zone]:
    """The zone answering over UDP and TCP on one free port of 127.0.0.1, in threads."""
    zone.address = ("127.0.0.1", free_port())
    quiet = DNSLogger(log="", logf=lambda _: None)
    servers = [
        DNSServer(
            zone,
            address="127.0.0.1",
            port=zone.address[1],
            tcp=tcp,
            logger=quiet,
        )
        for tcp in (False, True)
    ]
    for server in servers:
        threading.Thread(target=server.server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield zone
    finally:
        for server in servers:
            server.server.shutdown()
            server.server.server_close()
