"""What a stranger's message costs once its verdict is known, however many recipients it names."""

import time
from dataclasses import replace

from mail.authentication.values import (
    ArcResult,
    ArcSet,
    ArcVerdict,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
)
from mail.facts import DomainSnapshot
from mail.policy.trust import ListEntry, ListKind, TrustPolicy
from tests.smtp_edge.listening import Checked, Limits, World, hosted, listening, route, spf_alone
from tests.timing import slowness

HOSTILE_RESULTS = "x; " + 'a=b x.y="\\\\a" ' * 600
RECIPIENTS = 1000


class Forged(World):
    """A world in which all mail fails under p=reject, with a long chain of seals."""

    def begin(self, envelope) -> Checked:
        sets = tuple(
            ArcSet(number, "s.example", "s", f"{HOSTILE_RESULTS}{number}")
            for number in range(1, 34)
        )
        dmarc = DmarcVerdict(DmarcResult.FAIL, "a.example", DmarcPolicy.REJECT, "a.example")
        found = spf_alone("x@sender.example")
        return Checked(replace(found, arc=ArcVerdict(ArcResult.FAIL, sets, "why", 33), dmarc=dmarc))


def refused_after(domain: DomainSnapshot, author: bytes) -> tuple[World, float]:
    """One transaction that names the same recipient a thousand times; its seconds of CPU."""
    world = Forged()
    world.host(domain)
    with listening(world, limits=Limits()) as mx:
        client = mx.connect()
        client.say("MAIL FROM:<x@sender.example>")
        for _ in range(RECIPIENTS):
            assert client.say("RCPT TO:<hi@ada.example>").startswith("250")
        began = time.process_time()
        reply = client.data(b"From: " + author + b"\r\n\r\nhi\r\n")
        took = (time.process_time() - began) / slowness()
        client.close()
    assert reply.startswith("550 ")
    return world, took


def test_results_of_strangers_are_read_once_for_all_recipients():
    domain = hosted("ada.example", route(1, "hi", "ada@far.example"))

    world, took = refused_after(domain, b"c@a.example")
    assert len(world.refusals) == RECIPIENTS
    assert len({one.event.found for one in world.refusals}) == 1
    assert took < 2  # each of them for himself: 20 s


def test_lists_are_asked_once_for_all_recipients_alike():
    entry = ListEntry(1, ListKind.BLOCK, "nobody@nowhere.example")
    trust = TrustPolicy(entries=(entry,))
    domain = hosted("ada.example", route(1, "hi", "ada@far.example"), trust=trust)

    _, took = refused_after(domain, b", ".join(b"c%d@a.example" % n for n in range(500)))
    assert took < 2  # each of them for himself: 16 s


def test_of_many_authors_no_domain_is_left_out():
    """Or one that stands behind a hundred others would not be seen."""
    domain = hosted("ada.example", route(1, "hi", "ada@far.example"))

    authors = [*(b"c%d@a.example" % number for number in range(300)), b"ceo@bank.example"]
    world, _ = refused_after(domain, b", ".join(authors))
    assert ("from", "1 a.example bank.example") in world.refusals[0].event.found
