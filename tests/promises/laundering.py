"""A service in a DNS where laundering would pay, a forger, and the next receiver: for its tests.

The tenants' SPF records permit our address, and the domain above our own names has a relaxed DMARC
record. Mallory sends from addresses that only his own domain permits.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import dkim

from mail.message import header_fields, split_header_block
from mail.signing import Algorithm, dkim_record_strings, generate_key_pair
from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Arrival, Sink
from tests.installation import Installation, installed
from tests.mail.authentication.short_keys import SHORT
from tests.promises.receiver import Receiver, Seen, header_value, reverse_path_of
from tests.promises.test_laundering import all_settled

ABOVE, SERVICE, FORWARD = "ours.example", "mx.ours.example", "fwd.ours.example"
REJECT, NONE, NO_RECORD = "ada.example", "bea.example", "cyd.example"
MALLORY = "mallory.example"
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(64, 80))
HONEST_PEM, HONEST_PUBLIC = generate_key_pair(Algorithm.RSA_SHA256)
MALLORY_PEM, MALLORY_PUBLIC = generate_key_pair(Algorithm.RSA_SHA256)
WEAK_PEM, WEAK_RECORD = SHORT[512]
SIGNERS = ("author.test", "lists.example", "other.example", ABOVE, REJECT, NONE, NO_RECORD)
PERMITS_US = f"v=spf1 ip4:127.0.0.1 include:{FORWARD} -all"


def names() -> dict[str, list]:
    zone = {
        SERVICE: [("A", "127.0.0.1")],
        MALLORY: [("TXT", ["v=spf1 ip4:127.0.0.64/28 -all"])],
        f"s1._domainkey.{MALLORY}": [("TXT", list(dkim_record_strings(MALLORY_PUBLIC)))],
        f"_dmarc.{REJECT}": [("TXT", ["v=DMARC1; p=reject"])],
        f"_dmarc.{NONE}": [("TXT", ["v=DMARC1; p=none"])],
        f"_dmarc.{ABOVE}": [("TXT", ["v=DMARC1; p=none; adkim=r; aspf=r"])],
        "_dmarc.author.test": [("TXT", ["v=DMARC1; p=reject"])],
        f"shop.{ABOVE}": [("TXT", ["v=spf1 ip4:127.0.0.64/28 -all"])],
        # A key so short that Mallory has its other half.
        f"weak._domainkey.{REJECT}": [("TXT", [f"v=DKIM1; {WEAK_RECORD}"])],
    }
    for domain in (REJECT, NONE, NO_RECORD):
        zone[domain] = [("TXT", [PERMITS_US])]
    for domain in SIGNERS:
        record = [("TXT", list(dkim_record_strings(HONEST_PUBLIC)))]
        zone[f"s1._domainkey.{domain}"] = record
    return zone


LAX = """
from tenants.models import Tenant
from tenants.audit import Actor
from routing.services import trust
from mail.policy.trust import ListKind
tenant = Tenant.objects.get(slug="lax")
actor = Actor("tests")
trust.set_preference(tenant=tenant, choice=trust.TrustChoice(refuses_dmarc_reject=False), actor=actor)
for subject in ("ada.example", "info@ada.example", "bea.example", "ceo@cyd.example"):
    wanted = trust.EntryWanted(ListKind.ALLOW, subject)
    trust.add_entry(tenant=tenant, wanted=wanted, actor=actor)
"""


@dataclass(frozen=True)
class World:
    service: Installation
    zone: Zone
    hop: Sink
    returns_to: str
    """A return address of ours, as every next hop gets to know them."""
    serial: Iterator[int]

    def offer(self, recipient: str, octets: bytes, reverse_path: str) -> str:
        """Give it to the MX in a session of its own; the reply that decided."""
        source = ADDRESSES[next(self.serial) % len(ADDRESSES)]
        with self.service.smtp(source_address=(source, 0)) as client:
            return said(client, recipient, octets, reverse_path)

    def settle(self) -> None:
        self.service.wait_for(lambda: all_settled(self.service), 120, "all to be settled")

    def arrived(self, name: str) -> Arrival | None:
        for one in list(self.hop.arrivals):
            if header_value(one, b"X-Forgery") == name:
                return one
        return None

    def seen(self, arrivals: list[Arrival]) -> list[Seen]:
        return Receiver(self.zone, self.hop).judges(arrivals)

    def came_out(self, name: str) -> tuple[Arrival, Seen]:
        self.settle()
        arrival = self.arrived(name)
        assert arrival is not None, f"{name} did not come out"
        return arrival, self.seen([arrival])[0]


def said(client: smtplib.SMTP, recipient: str, octets: bytes, reverse_path: str) -> str:
    client.ehlo("mail.mallory.example")
    client.putcmd("mail", f"FROM:<{reverse_path}>")
    assert client.getreply()[0] == 250
    code, text = client.rcpt(recipient)
    assert code == 250, (recipient, text)
    client.putcmd("data")
    assert client.getreply()[0] == 354
    client.send(octets + b".\r\n")
    code, text = client.getreply()
    return f"{code} {text.decode()}"


@contextmanager
def laundering_world(folder: Path) -> Iterator[World]:
    zone, hop = Zone(names()), Sink().start()
    with serve(zone):
        extra = {
            "MXAX_SERVICE_DOMAIN": SERVICE,
            "MXAX_FORWARD_DOMAIN": FORWARD,
            "MXAX_SMARTHOST": f"127.0.0.1:{hop.port}",
            "MXAX_DNS_SERVERS": f"{zone.address[0]}:{zone.address[1]}",
            "MXAX_TRUSTED_SEALERS": "lists.example",
        }
        with installed(folder, **extra) as service:
            publish(service, zone)
            tenants(service)
            yield World(service, zone, hop, return_address(service, hop), count())
    hop.stop()


def publish(service: Installation, zone: Zone) -> None:
    """Our own records, as the operator was told to publish them."""
    for one in service.manage_json("service", "records"):
        if one["type"] == "TXT":
            texts = [one["value"][at : at + 255] for at in range(0, len(one["value"]), 255)]
            zone.names.setdefault(one["name"], []).append(("TXT", texts))


def tenants(service: Installation) -> None:
    service.tenant("ada", REJECT, (f"hi@{REJECT}", "ada@away.test"), (f"on@{REJECT}", f"in@{NONE}"))
    service.manage("domain", "add", "ada", NO_RECORD, "--verified")
    service.tenant("bea", NONE, (f"hi@{NONE}", "bea@away.test"), (f"in@{NONE}", "far@away.test"))
    service.tenant("lax", "lax.example", ("hi@lax.example", "lax@away.test"))
    service.manage("shell", "-c", LAX)


def return_address(service: Installation, hop: Sink) -> str:
    service.send(f"hi@{REJECT}", author="Bob <bob@sender.example>")
    service.wait_for(lambda: hop.arrivals, 30, "a message")
    return reverse_path_of(hop.arrivals[0])


def letter(name: str, author: str, body: str = "Hello.") -> bytes:
    """A message that is known by this name when it comes out."""
    lines = [f"From: {author}", f"To: hi@{REJECT}", f"X-Forgery: {name}", "Subject: x"]
    lines += ["Date: Sun, 22 Nov 2026 08:00:00 +0000", "Message-ID: <x@sender.example>"]
    return "\r\n".join([*lines, "", body, ""]).encode()


def signed(octets: bytes, domain: str, pem: bytes = HONEST_PEM, **more) -> bytes:
    """With a signature above it; `more` is dkimpy's."""
    return dkim.sign(octets, more.pop("selector", b"s1"), domain.encode(), pem, **more) + octets


def without(octets: bytes, name: bytes, saying: bytes = b"") -> bytes:
    """The message without the fields of this lower-case name that have `saying` in them."""
    at = split_header_block(octets)
    fields = header_fields(octets[:at])
    kept = [one.raw for one in fields if one.name != name or saying not in one.raw]
    return b"".join(kept) + b"\r\n" + octets[at:]
