"""What checks of an installation may say, and what becomes of it in the policy."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.extension import CheckOpinion, CheckResult, check_fields, fault_of, rules_of
from mail.message import header_fields
from mail.policy.trust import (
    Action,
    ListEntry,
    ListKind,
    ScanPolicy,
    ScoreLimits,
    TrustFacts,
    TrustPolicy,
)
from mail.policy.trust_rules import Opinion, judge_trust
from mail.scanning import ScanOutcome, ScanResult

FACTS = TrustFacts(
    policy=TrustPolicy(),
    authentication=None,
    client_ip="192.0.2.7",
    reverse_path="ada@ada.example",
    author_addresses=("ada@ada.example",),
    author_domains=("ada.example",),
    from_count=1,
    recipient_domain="ben.example",
    route_id=1,
    now=datetime(2026, 1, 5, tzinfo=UTC),
)
REFUSED = CheckResult("suppliers", CheckOpinion(Action.REFUSE, "no supplier", "Not for us"))


def test_a_check_refuses_with_its_text_and_its_name_in_the_trail():
    found = judge_trust(FACTS, rules_of([REFUSED]))

    assert str(found.reply) == "550 5.7.1 Not for us"
    assert (found.rule, found.reason) == ("suppliers", "no supplier")
    assert found.trail[-1] == "suppliers"


@pytest.mark.parametrize(
    ("action", "reply"),
    [(Action.DEFER, "451 4.7.1"), (Action.REFUSE, "550 5.7.1"), (Action.QUARANTINE, "None")],
)
def test_without_a_text_the_reply_says_little(action, reply):
    found = judge_trust(FACTS, rules_of([CheckResult("own", CheckOpinion(action, "why"))]))

    assert found.action is action
    assert str(found.reply).startswith(reply)


def test_no_objection_is_no_rule():
    assert rules_of([CheckResult("own", CheckOpinion(Action.ACCEPT))]) == ()
    assert judge_trust(FACTS, ()).action is Action.ACCEPT


def test_nothing_is_let_in_that_our_rules_refuse():
    def lets_all_in(facts: TrustFacts) -> Opinion | None:
        return Opinion(Action.ACCEPT, "anything goes")

    blocked = ListEntry(1, ListKind.BLOCK, "ada.example")
    virus = ScanResult("clamd", ScanOutcome.VIRUS, names=("Eicar",))
    for facts in (
        _with(policy=TrustPolicy(entries=(blocked,))),
        _with(scans=(virus,)),
        _with(scans=(ScanResult("rspamd", ScanOutcome.SPAM, 20, 15),),
              policy=TrustPolicy(scanning=ScanPolicy(rspamd=ScoreLimits(refuse_from=15)))),
    ):  # fmt: skip
        assert judge_trust(facts, (lets_all_in,)).action is Action.REFUSE


def test_those_on_the_allow_list_are_asked_too():
    allowed = ListEntry(1, ListKind.ALLOW, "192.0.2.0/24")
    facts = _with(policy=TrustPolicy(entries=(allowed,)))

    assert judge_trust(facts).rule == "allowed_client"
    assert judge_trust(facts, rules_of([REFUSED])).action is Action.REFUSE


def _with(**changes: object) -> TrustFacts:
    return replace(FACTS, **changes)


@pytest.mark.parametrize(
    "opinion",
    [
        "refuse", True, SimpleNamespace(action=Action.REFUSE, reason="x", text="", fields=()),
        CheckOpinion("refuse", "why"),
        CheckOpinion(Action.REFUSE),
        CheckOpinion(Action.REFUSE, "why", "two\r\n250 lines"),
        CheckOpinion(Action.REFUSE, "why", "é"),
        CheckOpinion(Action.REFUSE, "x" * 201),
        CheckOpinion(Action.REFUSE, 5),
        CheckOpinion(Action.ACCEPT, fields=(("From", "x"),)),
        CheckOpinion(Action.ACCEPT, fields=(("X-Mxax-Route", "x"),)),
        CheckOpinion(Action.ACCEPT, fields=(("X-A:b", "x"),)),
        CheckOpinion(Action.ACCEPT, fields=(("X-A", "x\r\nBcc: y"),)),
        CheckOpinion(Action.ACCEPT, fields=(("X-A", "x\n"),)),
        CheckOpinion(Action.ACCEPT, fields=(("X-A", ""),)),
        CheckOpinion(Action.ACCEPT, fields=("X-A",)),
        CheckOpinion(Action.ACCEPT, fields=None),
        CheckOpinion(Action.ACCEPT, fields=(("X-A", "x"),) * 21),
        CheckOpinion(Action.ACCEPT, fields=(("X-A", "x" * 901),)),
    ],
)  # fmt: skip
def test_an_opinion_that_is_none(opinion):
    assert fault_of(opinion)


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=900)


@given(st.lists(st.tuples(st.from_regex(r"X-[A-Za-z0-9-]{1,60}", fullmatch=True), PRINTABLE)))
def test_fields_that_may_be_added_are_well_formed(pairs):
    opinion = CheckOpinion(Action.ACCEPT, fields=tuple(pairs))
    if fault_of(opinion):
        return

    octets = check_fields([CheckResult("own", opinion)]).encode()

    read = header_fields(octets)
    assert [one.name.decode() for one in read] == [name.lower() for name, _ in pairs]
    assert [one.value.replace(b"\t", b" ").decode() for one in read] == [one for _, one in pairs]
    assert all(len(line) < 998 for line in octets.split(b"\r\n"))
