"""No forgery leaves with proof of its author, where every message is verified (E12).

Each form of forgery is sent as three domains, one for each policy, by every way that mail takes
through us. Whatever comes out is checked as the next receiver checks it: nothing that SPF or a
signature proves there may be of the forged organisation. What is made by hand is in
test_laundering_crafted.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mail.authentication.values import DmarcResult
from tests.delivery.sink import Arrival
from tests.promises.laundering import (  # fmt: skip
    FORWARD,
    MALLORY,
    NO_RECORD,
    NONE,
    REJECT,
    World,
    laundering_world,
)
from tests.promises.receiver import header_value
from tests.promises.test_laundering import FORMS, HOMOGRAPHS, dressed

pytestmark = [pytest.mark.journey, pytest.mark.slow]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with laundering_world(tmp_path_factory.mktemp("service")) as one:
        yield one


@dataclass(frozen=True)
class Forgery:
    name: str
    header: bytes
    domain: str
    recipient: str
    reverse_path: str

    def octets(self) -> bytes:
        lines = (f"X-Forgery: {self.name}", "Auto-Submitted: auto-replied", "Subject: x")
        return self.header + "\r\n".join([*lines, "", "body", ""]).encode()


# RFC 9989 judges From alone; of these it knows no author, or another one.
JUDGED_BY_ANOTHER = {"Sender", "Resent-From"}


def forgeries(world: World) -> list[Forgery]:
    ways = {
        "to its owner": (f"hi@{REJECT}", f"bob@{MALLORY}"),
        "to another": (f"hi@{NONE}", "ceo@%d"),
        "to who trusts too much": ("hi@lax.example", "ceo@%d"),
        "null reverse-path": (f"hi@{REJECT}", ""),
        "through two of ours": (f"on@{REJECT}", f"bob@{MALLORY}"),
        "returned": (world.returns_to, ""),
    }
    return [
        Forgery(f"{form} / {domain} / {way}", dressed(text, domain), domain,
                recipient, path.replace("%d", domain))
        for way, (recipient, path) in ways.items()
        for form, text in FORMS.items()
        for domain in (REJECT, NONE, NO_RECORD)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def outcome(world) -> tuple[list[Forgery], dict[str, str], dict[str, Arrival]]:
    """All forgeries, the replies, and what came out."""
    offered = forgeries(world)
    replies = {one.name: world.offer(one.recipient, one.octets(), one.reverse_path)
               for one in offered}  # fmt: skip
    world.settle()
    arrivals = {header_value(one, b"X-Forgery"): one for one in list(world.hop.arrivals)}
    return offered, replies, {one.name: arrivals[one.name] for one in offered
                              if one.name in arrivals}  # fmt: skip


def test_nothing_that_leaves_is_proved_to_be_of_the_forged_domain(world, outcome):
    offered, _, out = outcome
    domains = {one.name: one.domain for one in offered}
    assert len(offered) > 500
    assert len(out) > 100, "hardly anything came out: nothing was tested"

    seen = dict(zip(out, world.seen(list(out.values())), strict=True))

    laundered = [name for name, one in seen.items() if one.speaks_for(domains[name])]
    passed = [name for name, one in seen.items() if one.dmarc.result is DmarcResult.PASS]
    assert laundered == []
    assert passed == []
    # That the receiver can see a proof at all: ours is there on each.
    assert all(FORWARD in one.proved for one in seen.values())


def test_what_was_taken_comes_out_and_of_returns_nothing_does(outcome):
    _, replies, out = outcome

    taken = {name for name, reply in replies.items() if reply.startswith("250")}
    returned = {name for name in replies if name.endswith("/ returned")}
    assert set(out) == taken - returned
    assert len(returned) == len(FORMS) * 3


def test_what_its_owner_forbids_is_refused(outcome):
    offered, replies, _ = outcome
    forbidden = [
        one
        for one in offered
        if one.domain == REJECT
        and "returned" not in one.name
        and "who trusts too much" not in one.name
        and one.name.partition(" / ")[0] not in JUDGED_BY_ANOTHER
    ]

    codes = {one.name: replies[one.name][:11] for one in forbidden}

    lines = {name for name, code in codes.items() if name.startswith(("NUL", "bare CR"))}
    others = {code.strip()[:10].strip() for name, code in codes.items() if name not in lines}
    assert others <= {"550 5.7.26", "550 5.7.1"}, codes
    assert all(not codes[name].startswith("250") for name in lines)


def test_look_alikes_leave_with_our_name_alone(world):
    offered = [
        Forgery(f"{form} / {way}", text, "ours.example", recipient, path)
        for form, text in HOMOGRAPHS.items()
        for way, (recipient, path) in {
            "forwarded": (f"hi@{REJECT}", f"bob@{MALLORY}"),
            "null reverse-path": (f"hi@{NONE}", ""),
        }.items()
    ]
    replies = [world.offer(one.recipient, one.octets(), one.reverse_path) for one in offered]

    assert any(reply.startswith("250") for reply in replies)
    for one, reply in zip(offered, replies, strict=True):
        if reply.startswith("250"):
            _, seen = world.came_out(one.name)
            assert seen.proved == {FORWARD}, one
            assert seen.dmarc.result is not DmarcResult.PASS, one
