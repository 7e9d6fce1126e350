"""Verification at the edge: what is asked, how long anybody waits, and who is not asked at all."""

import asyncio
import time

import pytest

from mail.authentication.values import DmarcResult, SpfResult
from mail.envelope import Client, Envelope
from mail.lookups import Answer, Outcome
from mail.message import header_fields
from mail.trace import new_trace_id
from smtp_edge.verification import NOTHING_ASKED, DnsVerifier

LETTER = b"From: carol@author.example\r\nSubject: hi\r\n"
ZONE = {
    ("TXT", "author.example"): (b"v=spf1 ip4:192.0.2.7 -all",),
    ("TXT", "_dmarc.author.example"): (b"v=DMARC1; p=reject",),
    ("TXT", "boxes.example"): (b"v=spf1 exists:%{l}.boxes.example -all",),
    ("A", "carol.boxes.example"): ("127.0.0.2",),
}


class Names:
    """A `Lookup` over a mapping; `silent` names never answer, `failing` ones do so at once."""

    def __init__(self, zone=ZONE, *, silent=(), all_fail=False) -> None:
        self.zone, self.silent, self.all_fail = zone, silent, all_fail
        self.asked: list[tuple[str, str]] = []

    async def _ask(self, kind: str, name: str) -> Answer:
        self.asked.append((kind, name))
        if any(name.endswith(one) for one in self.silent):
            await asyncio.sleep(3600)
        if self.all_fail:
            return Answer(Outcome.FAILURE)
        found = self.zone.get((kind, name))
        return Answer(Outcome.FOUND, found) if found else Answer(Outcome.NO_NAME)

    async def txt(self, name: str) -> Answer[bytes]:
        return await self._ask("TXT", name)

    async def mx(self, name: str) -> Answer:
        return await self._ask("MX", name)

    async def addresses(self, name: str, family: str) -> Answer[str]:
        return await self._ask(family, name)

    async def ptr(self, name: str) -> Answer[str]:
        return await self._ask("PTR", name)


def envelope(reverse_path: str = "carol@author.example", ip: str = "192.0.2.7") -> Envelope:
    client = Client(ip, 25, "mta.author.example", "ESMTP")
    return Envelope(new_trace_id(0, bytes(10)), client, reverse_path)


def verifier(names: Names, **options) -> DnsVerifier:
    return DnsVerifier(names, receiver="mx.test", **options)


async def found_of(one: DnsVerifier, about: Envelope, header: bytes = LETTER):
    check = one.begin(about)
    check.header(header_fields(header))
    check.body(b"hello\r\n")
    return await check.found()


def test_everything_is_said_of_one_message():
    found = asyncio.run(_alone(Names()))

    assert found.spf.mail_from.result is SpfResult.PASS
    assert found.dmarc.result is DmarcResult.PASS
    assert found.dmarc.aligned_by == ("spf",)


async def _alone(names: Names, about: Envelope | None = None, **options):
    one = verifier(names, **options)
    try:
        return await found_of(one, about or envelope())
    finally:
        one.close()


def test_fifty_transactions_of_one_sender_ask_once():
    names = Names()

    async def many():
        one = verifier(names)
        found = await asyncio.gather(*[found_of(one, envelope(f"u{n}@author.example"))
                                       for n in range(50)])  # fmt: skip
        one.close()
        return found

    assert all(one.spf.passed for one in asyncio.run(many()))
    assert names.asked.count(("TXT", "author.example")) == 1


def test_a_record_that_looks_at_the_local_part_is_asked_for_each_mailbox():
    async def both():
        one = verifier(Names())
        mine = await found_of(one, envelope("carol@boxes.example"))
        other = await found_of(one, envelope("mallory@boxes.example"))
        again = await found_of(one, envelope("carol@boxes.example"))
        one.close()
        return [it.spf.mail_from.result for it in (mine, other, again)]

    assert asyncio.run(both()) == [SpfResult.PASS, SpfResult.FAIL, SpfResult.PASS]


def test_what_is_not_known_in_time_is_a_temporary_error(monkeypatch):
    monkeypatch.setattr("smtp_edge.verification.MAX_SECONDS", 0.3)
    names = Names(silent=("_dmarc.author.example",))

    began = time.monotonic()
    found = asyncio.run(_alone(names))

    assert time.monotonic() - began < 10
    assert found.dmarc.result is DmarcResult.TEMPERROR
    assert found.spf.passed


def test_where_the_operator_named_servers_silence_is_an_outage():
    found = asyncio.run(_alone(Names(all_fail=True), expected=True))

    assert found.spf.mail_from.result is SpfResult.TEMPERROR
    assert found.dmarc.result is DmarcResult.TEMPERROR


def test_a_machine_without_a_resolver_judges_nobody_and_soon_stops_asking():
    names = Names(all_fail=True)

    async def several():
        one = verifier(names, expected=False)
        found = [await found_of(one, envelope(f"u@author{n}.example")) for n in range(4)]
        idle = one.begin(envelope("u@another.example"))
        one.close()
        return found, idle

    found, idle = asyncio.run(several())
    assert found == [None, None, None, None]
    assert idle is NOTHING_ASKED


def test_it_begins_to_judge_when_somebody_answers():
    names = Names(all_fail=True)

    async def later():
        one = verifier(names, expected=False)
        for number in range(3):
            await found_of(one, envelope(f"u@author{number}.example"))
        names.all_fail = False
        await asyncio.sleep(0.3)
        await found_of(one, envelope("u@probe.example"))
        found = await found_of(one, envelope())
        one.close()
        return found

    assert asyncio.run(later()).spf.passed


def test_a_thousand_who_wait_for_a_dead_name_leave_the_others_alone():
    """How much longer the others take is measured by bench/verify.py."""
    names = Names(silent=("dead.example",))

    async def crowd():
        one = verifier(names)
        waiting = [
            asyncio.ensure_future(found_of(one, envelope(f"u@n{n}.dead.example")))
            for n in range(1000)
        ]
        await asyncio.sleep(0)
        found = [await found_of(one, envelope()) for _ in range(100)]
        still_waiting = not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        one.close()
        return found, still_waiting

    found, still_waiting = asyncio.run(crowd())
    assert still_waiting
    assert all(one.dmarc.result is DmarcResult.PASS for one in found)


@pytest.mark.parametrize("count", [1, 15, 40])
def test_many_signatures_are_judged_and_counted(count):
    field = b"DKIM-Signature: v=1; a=rsa-sha256; d=s%d.example; s=s; h=from; bh=AAAA; b=AAAA\r\n"
    header = b"".join(field % number for number in range(count)) + LETTER

    async def judged():
        one = verifier(Names())
        found = await found_of(one, envelope(), header)
        one.close()
        return found

    found = asyncio.run(judged())
    assert len(found.dkim) == min(count, 15)
    assert found.skipped_signatures == max(count - 15, 0)
    assert not any(one.passed for one in found.dkim)


def test_signatures_that_share_a_key_are_verified_beside_the_dialog_too(monkeypatch):
    field = b"DKIM-Signature: v=1; a=rsa-sha256; d=author.example; s=s; h=from; bh=%b; b=AAAA\r\n"
    in_threads = []

    async def to_thread(work, **about):
        in_threads.append(work)
        return work(**about)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)

    async def judged(count):
        one = verifier(Names())
        header = field % (b"A" * 43 + b"=") * count + LETTER
        await found_of(one, envelope(), header)
        one.close()

    asyncio.run(judged(3))
    assert not in_threads
    asyncio.run(judged(15))
    assert in_threads


def test_what_is_begun_early_for_one_client_is_bounded():
    """Neither RCPT and RSET again and again, nor many keys, take the questions of others."""
    names = Names(silent=("example",))
    fetching: list[asyncio.Task] = []

    def prefetch(name):
        fetching.append(asyncio.ensure_future(names.txt(name)))
        return fetching[-1]

    async def flood():
        one = verifier(names, prefetch=prefetch)
        for number in range(1000):
            check = one.begin(envelope(f"u@d{number}.example"))
            check.header(header_fields(keyed(number)))
        begun = len(asyncio.all_tasks())
        other = one.begin(envelope(ip="192.0.2.8"))
        other.header(header_fields(keyed(5000)))
        for_another = len(asyncio.all_tasks()) - begun
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)
        one.close()
        return begun, for_another

    def keyed(number):
        field = b"DKIM-Signature: v=1; a=rsa-sha256; d=k%d.example; s=s; h=from; bh=%b; b=AAAA\r\n"
        return b"".join(field % (number * 20 + n, b"A" * 43 + b"=") for n in range(15)) + LETTER

    begun, for_another = asyncio.run(flood())
    assert begun <= 110  # without a bound 17,000
    assert for_another == 12


def test_the_client_who_waited_in_line_is_asked_about_all_the_same():
    names = Names(silent=("dead.example",))

    async def crowded():
        one = verifier(names)
        for number in range(1000):
            one.begin(envelope(f"u@n{number}.dead.example"))
        found = await found_of(one, envelope())
        one.close()
        return found

    assert asyncio.run(crowded()).spf.passed
