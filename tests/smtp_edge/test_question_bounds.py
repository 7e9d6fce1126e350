"""However a stranger builds his zones, one message makes for so many questions and no more."""

import asyncio
from collections import Counter

from mail.authentication.values import ArcResult, DmarcResult, SpfResult
from mail.lookups import Answer, MxRecord, Outcome
from tests.smtp_edge.test_verification import LETTER, Names, envelope, found_of, verifier

MOST_QUESTIONS = 240
BASE64 = b"A" * 43 + b"="
MANY_HOSTS = tuple(MxRecord(1, f"h{number}.hosts.example") for number in range(10))


class Worst(Names):
    """All names are there, each as dear as RFC 7208 lets it be, and nothing may be kept."""

    def __init__(self, record: bytes) -> None:
        super().__init__()
        self.record = record

    async def txt(self, name: str) -> Answer[bytes]:
        self.asked.append(("TXT", name))
        await asyncio.sleep(0)
        if name.startswith("_dmarc."):
            return Answer(Outcome.NO_DATA)
        return Answer(Outcome.FOUND, (self.record,))

    async def mx(self, name: str) -> Answer[MxRecord]:
        self.asked.append(("MX", name))
        return Answer(Outcome.FOUND, MANY_HOSTS)

    async def addresses(self, name: str, family: str) -> Answer[str]:
        self.asked.append((family, name))
        return Answer(Outcome.FOUND, ("198.51.100.1",))

    async def ptr(self, name: str) -> Answer[str]:
        self.asked.append(("PTR", name))
        return Answer(Outcome.FOUND, tuple(f"n{number}.hosts.example" for number in range(10)))


def ten_terms(term: bytes) -> bytes:
    return b"v=spf1 " + b" ".join([term] * 10) + b" -all"


def signed_by_many() -> bytes:
    """Fifteen signatures and a chain of fifty sets, each with a key of its own."""
    dkim = b"DKIM-Signature: v=1; a=rsa-sha256; d=k%d.example; s=s; h=from; bh=%b; b=AAAA\r\n"
    hop = (
        b"ARC-Seal: i=%d; a=rsa-sha256; cv=%b; d=c%d.example; s=s; b=AAAA\r\n"
        b"ARC-Message-Signature: i=%d; a=rsa-sha256; d=m%d.example; s=s; h=from; bh=%b; b=AAAA\r\n"
        b"ARC-Authentication-Results: i=%d; x.example; none\r\n"
    )
    chain = b"".join(
        hop % (n, b"none" if n == 1 else b"pass", n, n, n, BASE64, n) for n in range(1, 51)
    )
    return b"".join(dkim % (n, BASE64) for n in range(15)) + chain


def asked_by(names: Names, header: bytes = LETTER, path: str = "carol@dear.example"):
    """What one message is found to be, and the questions it made for."""

    async def one_message():
        one = verifier(names, prefetch=lambda name: asyncio.ensure_future(names.txt(name)))
        found = await found_of(one, envelope(path), header)
        one.close()
        return found

    return asyncio.run(one_message()), names.asked


def test_the_dearest_zones_make_for_so_many_questions_and_no_more():
    deep = b"From: x@" + b"a." * 100 + b"author.example\r\n"

    found, asked = asked_by(Worst(ten_terms(b"mx:%{l}.hosts.example")), signed_by_many() + deep)

    assert len(asked) <= MOST_QUESTIONS, Counter(kind for kind, _ in asked)
    assert found.spf.mail_from.result is SpfResult.PERMERROR
    assert found.spf.mail_from.reason == "its records make for more than 50 questions to the DNS"
    assert found.spf.helo.result is SpfResult.PERMERROR


def test_fifteen_signatures_fifty_seals_and_the_author_are_still_asked_for():
    found, asked = asked_by(Worst(b"v=spf1 -all"), signed_by_many() + LETTER)

    keys = {name for kind, name in asked if kind == "TXT" and "_domainkey" in name}
    assert len(keys) == 15 + 50 + 1
    assert ("TXT", "_dmarc.author.example") in asked
    assert len(found.dkim) == 15
    assert found.arc.result is ArcResult.FAIL
    assert found.dmarc.result is DmarcResult.NONE
    assert found.spf.mail_from.result is SpfResult.FAIL


def test_ten_terms_of_an_honest_record_are_asked():
    found, asked = asked_by(Worst(ten_terms(b"a:h.hosts.example")))

    assert found.spf.mail_from.result is SpfResult.FAIL
    assert found.spf.helo.result is SpfResult.FAIL
    assert len(asked) < 60


def test_for_a_null_reverse_path_the_helo_name_may_ask_as_much():
    record = b"v=spf1 mx:hosts.example mx:hosts.example -all"

    returned, _ = asked_by(Worst(record), path="")
    sent, _ = asked_by(Worst(record))

    assert returned.spf.mail_from.result is SpfResult.FAIL  # 23 questions
    assert (sent.spf.mail_from.result, sent.spf.helo.result) == (
        SpfResult.FAIL,
        SpfResult.PERMERROR,
    )
