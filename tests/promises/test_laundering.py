"""No forgery leaves with a domain of ours that speaks for its author, whatever it is dressed in.

The whole service stands between a client and a next hop that keeps everything. What a receiver of
our mail would compute is computed here by other means than ours: the organisational domain of the
envelope and of each signature's `d=`, against that of the domain which the forger put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from publicsuffixlist import PublicSuffixList

from tests.delivery.sink import Arrival, Sink
from tests.installation import Installation, installed

pytestmark = [pytest.mark.journey, pytest.mark.slow]

ABOVE, SERVICE, FORWARD = "ours.example", "mx.ours.example", "fwd.ours.example"
OURS = (SERVICE, FORWARD, f"deep.below.{SERVICE}", f"below.{FORWARD}", ABOVE, f"shop.{ABOVE}")
TENANTS = ("ada.example", "mallory.example")
FORMS = {
    "plain": b"From: info@%d\r\n",
    "display name": b"From: Service <info@%d>\r\n",
    "upper case": b"FROM: INFO@%D\r\n",
    "final dot": b"From: info@%d.\r\n",
    "quoted local part": b'From: "a@b.example"@%d\r\n',
    "address as a name": b'From: "bob@sender.example" <info@%d>\r\n',
    "two addresses": b"From: bob@sender.example, info@%d\r\n",
    "group": b"From: friends: bob@sender.example, info@%d;\r\n",
    "group of nobody": b"From: info@%d:;\r\n",
    "comment": b"From: (bob@sender.example) info@%d (x)\r\n",
    "comment in the domain": b"From: info@(x)%d\r\n",
    "broken comment": b"From: bob@sender.example (info@%d\r\n",
    "source route": b"From: <@sender.example:info@%d>\r\n",
    "encoded name": b"From: =?utf-8?q?Service?= <info@%d>\r\n",
    "encoded address": b"From: =?utf-8?q?info=40%d?=\r\n",
    "encoded address in brackets": b"From: <=?utf-8?q?info=40%d?=>\r\n",
    "encoded address before another": b"From: =?utf-8?q?info=40%d?= bob@sender.example\r\n",
    "space before the colon": b"From : info@%d\r\n",
    "tab before the colon": b"From\t: info@%d\r\n",
    "folded": b"From:\r\n\tinfo@%d\r\n",
    "folded in the address": b"From: info@\r\n %d\r\n",
    "two fields": b"From: bob@sender.example\r\nFrom: info@%d\r\n",
    "two fields the other way": b"From: info@%d\r\nFrom: bob@sender.example\r\n",
    "NUL": b"From: info@%d\x00.sender.example\r\n",
    "bare CR": b"From: bob@sender.example\rFrom: info@%d\r\n",
    "full-width at": b"From: info\xef\xbc\xa0%d\r\n",
    "soft hyphen": b"From: info@\xc2\xad%d\r\n",
    "raw eight bit name": b"From: \xe9\xff <info@%d>\r\n",
    "Sender": b"From: bob@sender.example\r\nSender: info@%d\r\n",
    "Resent-From": b"From: bob@sender.example\r\nResent-From: info@%d\r\n",
    "Sender and no From": b"Sender: info@%d\r\n",
    "after a line that is no field": b"no colon here\r\nFrom: info@%d\r\n",
}
HOMOGRAPHS = {
    "cyrillic letter": "From: info@mx.\u043eurs.example\r\n".encode(),
    "punycode": b"From: info@mx.xn--urs-0ed.example\r\n",
}
NO_ADDRESS = {
    # A name is no author: DMARC and readers' programs go by the address behind it.
    "address as a name only": b"From: =?utf-8?q?info=40mx.ours.example?= <bob@sender.example>\r\n",
    "no From": b"",
    "empty From": b"From:\r\n",
    "From without an address": b"From: nobody\r\n",
}

suffixes = PublicSuffixList()


def organisation(domain: str) -> str:
    return suffixes.privatesuffix(domain) or domain


@dataclass(frozen=True)
class Forgery:
    name: str
    header: bytes
    domain: str
    recipient: str
    reverse_path: str = "bob@sender.example"

    def octets(self) -> bytes:
        tail = (
            f"X-Forgery: {self.name}\r\nAuto-Submitted: auto-replied\r\nSubject: x\r\n\r\nbody\r\n"
        )
        return self.header + tail.encode()


def dressed(form: bytes, domain: str) -> bytes:
    return form.replace(b"%d", domain.encode()).replace(b"%D", domain.upper().encode())


def forgeries(recipients: dict[str, tuple[str, str]], domains: tuple[str, ...]) -> list[Forgery]:
    """Each form with each domain, to each of the named (recipient, reverse-path)."""
    return [
        Forgery(f"{form} {domain} {way}", dressed(text, domain), domain, *where)
        for way, where in recipients.items()
        for form, text in FORMS.items()
        for domain in domains
    ]


@pytest.fixture(scope="module")
def next_hop() -> Iterator[Sink]:
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, next_hop) -> Iterator[Installation]:
    extra = {
        "MXAX_SERVICE_DOMAIN": SERVICE,
        "MXAX_FORWARD_DOMAIN": FORWARD,
        "MXAX_SMARTHOST": f"127.0.0.1:{next_hop.port}",
    }
    with installed(tmp_path_factory.mktemp("service"), **extra) as running:
        running.tenant("ada", "ada.example", ("hi@ada.example", "ada@away.example"))
        running.tenant("mallory", "mallory.example", ("hi@mallory.example", "m@away.example"))
        running.manage("domain", "add", "ada", ABOVE, "--verified")
        yield running


@pytest.fixture(scope="module")
def return_address(service, next_hop) -> str:
    """A reverse-path of ours, as every next hop gets to know them."""
    service.send("hi@ada.example", subject="for its reverse-path")
    service.wait_for(lambda: next_hop.arrivals, 30, "a message")
    return envelope_of(next_hop.arrivals[0])


def offer(service: Installation, forgery: Forgery) -> str:
    """Give it to the MX in a session of its own; the reply that decided."""
    with service.smtp() as client:
        client.ehlo()
        client.putcmd("mail", f"FROM:<{forgery.reverse_path}>")
        assert client.getreply()[0] == 250
        code, text = client.rcpt(forgery.recipient)
        assert code == 250, (forgery, text)
        client.putcmd("data")
        assert client.getreply()[0] == 354
        client.send(forgery.octets() + b".\r\n")
        code, text = client.getreply()
    return f"{code} {text.decode()}"


def all_settled(service: Installation) -> bool:
    status = service.manage_json("queue", "status")
    return not (status["in_flight"] or status["queued"])


def offer_all(service, next_hop, offered: list[Forgery]) -> tuple[dict[str, str], dict]:
    """Replies by name, and what of it came out at the next hop."""
    replies = {one.name: offer(service, one) for one in offered}
    taken = sum(reply.startswith("250") for reply in replies.values())
    service.wait_for(lambda: all_settled(service), 60, f"{taken} to be settled")
    return replies, by_name(next_hop)


def by_name(next_hop: Sink) -> dict[str, Arrival]:
    found = {}
    for one in list(next_hop.arrivals):
        # Of the message's own header block only: a DSN may quote it.
        head = one.octets.partition(b"\r\n\r\n")[0]
        if name := re.search(rb"^X-Forgery: (.*?)\r?$", head, re.MULTILINE):
            found[name[1].decode()] = one
    return found


def envelope_of(arrival: Arrival) -> str:
    return arrival.mail.removeprefix("MAIL FROM:<").partition(">")[0]


def speakers(arrival: Arrival) -> set[str]:
    """The domains that stand behind a message: of its envelope, and of each signature."""
    head = re.sub(rb"\r\n[ \t]", b"", arrival.octets.partition(b"\r\n\r\n")[0])
    signatures = re.findall(rb"^DKIM-Signature:(.*)$", head, re.MULTILINE | re.IGNORECASE)
    signed = {re.search(rb"[; ]d=([^;\s]+)", one)[1].decode().lower() for one in signatures}
    return signed | ({envelope_of(arrival).rpartition("@")[2].lower()} - {""})


def aligned(arrival: Arrival, domain: str) -> bool:
    """Whether SPF or DKIM would speak for this author, relaxed or strict."""
    return organisation(domain) in {organisation(one) for one in speakers(arrival)}


def test_what_aligns_is_seen_here(service, next_hop, return_address):
    """The measure itself: it must find alignment where there is some."""
    arrival = next_hop.arrivals[0]

    assert speakers(arrival) == {FORWARD}
    assert aligned(arrival, SERVICE)
    assert aligned(arrival, ABOVE)
    assert not aligned(arrival, "ada.example")


def test_our_own_names_leave_in_no_disguise(service, next_hop, return_address):
    ways = {
        "forwarded": ("hi@ada.example", "bob@sender.example"),
        "returned": (return_address, ""),
    }
    offered = forgeries(ways, OURS)
    assert len(offered) == 2 * len(FORMS) * len(OURS) >= 60

    replies, out = offer_all(service, next_hop, offered)

    laundered = [one.name for one in offered if one.name in out]
    taken = [name for name, reply in replies.items() if reply.startswith("250")]
    assert laundered == []
    assert taken == []
    assert {reply[:9] for reply in replies.values()} <= {"550 5.7.1", "550 5.5.2", "550 5.6.0"}


def test_look_alikes_of_ours_are_other_names(service, next_hop, return_address):
    forms = HOMOGRAPHS | NO_ADDRESS
    domain = "mx.xn--urs-0ed.example"
    offered = [Forgery(name, text, domain, "hi@ada.example") for name, text in forms.items()]

    _, out = offer_all(service, next_hop, offered)

    for name, arrival in out.items():
        if name in forms:
            assert speakers(arrival) == {FORWARD}
            assert not aligned(arrival, domain)


def test_a_tenants_name_is_carried_and_never_vouched_for(service, next_hop, return_address):
    ways = {
        "to ada": ("hi@ada.example", "bob@sender.example"),
        "to mallory": ("hi@mallory.example", "ceo@ada.example"),
    }
    offered = forgeries(ways, TENANTS)

    replies, out = offer_all(service, next_hop, offered)

    refused = {name.split(" ada.")[0].split(" mallory.")[0] for name in replies if name not in out}
    assert refused == {"NUL", "bare CR"}
    for one in offered:
        if one.name in out:
            arrival = out[one.name]
            assert speakers(arrival) == {FORWARD}, one
            assert not aligned(arrival, one.domain), one
            assert arrival.octets.endswith(one.octets()), one
