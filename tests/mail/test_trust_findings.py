"""What the log keeps of a message is enough to judge it again, and is no address."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail.authentication.values import (
    ArcResult,
    ArcSet,
    ArcVerdict,
    Authentication,
    ClientName,
    ClientNameResult,
    DkimResult,
    DkimSignature,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)
from mail.events import Event, EventKind, disclose
from mail.facts import LogLevel
from mail.policy.trust import Action, TrustFacts, TrustPolicy
from mail.policy.trust_findings import Logged, as_hashed, facts_of, found_of, verdict_of
from mail.policy.trust_rules import judge_trust
from mail.scanning import ScanOutcome, ScanResult
from tests.mail.test_trust_rules import (
    AUTHOR,
    AWAY,
    CHAIN,
    FAILS,
    HOLDS,
    LENIENT,
    NO_DNS,
    NO_RECORD,
    NOW,
    PASSES,
    QUARANTINED,
    SPAM,
    TRUSTING,
    UNJUDGED,
    VIRUS,
    allows,
    blocks,
    chain,
    facts,
    scans,
)

LOGGED_ID = UUID(int=7)
LOGGED = Logged(NOW, "192.0.2.7", AUTHOR, AUTHOR, "example.org", 5)
SIGNED = (DkimSignature(DkimResult.PASS, "author.example", "s2026"),)
POLICIES = (
    TrustPolicy(),
    LENIENT,
    HOLDS,
    TRUSTING,
    allows(AUTHOR),
    allows("192.0.2.0/24"),
    blocks(".author.example"),
    scans(refuse_from=10, quarantine_from=5, add_fields_from=1),
)


@pytest.mark.parametrize(
    "given",
    [
        *map(facts, (PASSES, FAILS, QUARANTINED, NO_DNS, NO_RECORD, UNJUDGED)),
        facts(FAILS, arc=CHAIN),
        facts(FAILS, arc=chain(("lists.example", "x; dmarc=fail header.from=author.example"))),
        facts(NO_RECORD, dkim=SIGNED),
        facts(FAILS, arc=CHAIN, author_is_hosted=True),
        facts(from_count=0, author_addresses=(), author_domains=()),
        facts(author_addresses=(AUTHOR, "x@other.example")),
        facts(scans=(SPAM, AWAY)),
        facts(scans=(VIRUS,)),
        facts(authentication=None),
    ],
)
def test_every_policy_judges_the_logged_message_as_it_judged_the_message(given):
    for policy in POLICIES:
        told = replace(given, policy=policy)
        judgement = judge_trust(told)

        again = judge_trust(facts_of(found_of(told, judgement), LOGGED, policy))

        assert (again.action, again.rule) == (judgement.action, judgement.rule)


words = st.text(min_size=0, max_size=40)
ascii_names = st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True)


@st.composite
def any_facts(draw) -> TrustFacts:
    check = st.builds(SpfCheck, st.sampled_from(SpfResult), ascii_names, words)
    found = Authentication(
        client_ip="192.0.2.7",
        helo="mx.author.example",
        reverse_path=AUTHOR,
        client_name=ClientName(draw(st.sampled_from(ClientNameResult)), draw(ascii_names)),
        spf=SpfVerdict(draw(check), draw(check)),
        dkim=tuple(
            draw(
                st.lists(
                    st.builds(DkimSignature, st.sampled_from(DkimResult), ascii_names, words),
                    max_size=20,
                )
            )
        ),
        arc=ArcVerdict(
            draw(st.sampled_from(ArcResult)),
            tuple(
                ArcSet(number, draw(ascii_names), "s", draw(words))
                for number in range(1, draw(st.integers(0, 60)) + 1)
            ),
            draw(words),
        ),
        dmarc=DmarcVerdict(
            draw(st.sampled_from(DmarcResult)),
            draw(ascii_names),
            draw(st.sampled_from(DmarcPolicy)),
            draw(ascii_names),
            draw(ascii_names),
            reason=draw(words),
        ),
    )
    scan = st.builds(
        ScanResult,
        st.sampled_from(("rspamd", "clamd", "own check")),
        st.sampled_from(ScanOutcome),
        st.floats(-100, 100).map(lambda score: round(score, 2)),
        names=st.lists(words, max_size=60).map(tuple),
    )
    return facts(
        authentication=found,
        author_addresses=tuple(draw(st.lists(ascii_names.map("x@{}".format), max_size=3))),
        scans=tuple(draw(st.lists(scan, max_size=4))),
    )


@settings(max_examples=80)
@given(any_facts(), st.sampled_from(POLICIES[:5]))
def test_whatever_strangers_write_the_log_keeps_its_form(given, policy):
    told = replace(given, policy=policy)
    judgement = judge_trust(told)
    pairs = found_of(told, judgement)

    again = facts_of(pairs, replace(LOGGED, author=(told.author_addresses or ("",))[0]), policy)

    assert sum(len(word) + len(value) for word, value in pairs) < 40_000
    assert verdict_of(pairs).rule == judgement.rule
    assert again.authentication.dmarc.result is told.authentication.dmarc.result
    assert again.authentication.spf.mail_from.result is told.authentication.spf.mail_from.result
    assert len(again.scans) == len(told.scans)


def test_what_somebody_else_wrote_into_the_log_breaks_nothing():
    for pairs in (
        [],
        [["verdict"]],
        [["dmarc", ""], ["scan", "x"], ["seal", "a b c"], ["arc", ""]],
    ):
        assert judge_trust(facts_of(pairs, LOGGED, TrustPolicy())).rule in (
            "accept",
            "dmarc_reject",
        )
        assert verdict_of(pairs) is None


def test_levels_without_addresses_keep_results_and_no_address():
    told = replace(
        facts(FAILS, policy=blocks(AUTHOR)),
        authentication=replace(
            facts(FAILS).authentication,
            spf=SpfVerdict(
                SpfCheck(SpfResult.NONE, "mx.author.example"),
                SpfCheck(SpfResult.FAIL, "author.example", f"{AUTHOR} may not"),
            ),
        ),
    )
    event = Event(
        EventKind.REFUSED,
        LOGGED_ID,
        1,
        author=AUTHOR,
        client_ip="192.0.2.7",
        found=found_of(told, judge_trust(told)),
    )

    hashed = disclose(event, LogLevel.HASHED, pepper=b"p")

    assert AUTHOR in str(event.found)
    assert "@" not in str(hashed.to_json())
    assert "192.0.2.7" not in str(hashed.to_json())
    assert hashed.client_ip == disclose(event, LogLevel.HASHED, pepper=b"p").client_ip[:17]
    assert "mx.author.example" not in str(hashed.found)
    assert ("dmarc", "fail author.example reject author.example - - -") in hashed.found
    assert verdict_of(hashed.found).action is Action.REFUSE
    assert hashed.found == as_hashed(event.found)


def test_who_lets_us_only_count_has_nothing_found_in_his_log():
    event = Event(EventKind.REFUSED, LOGGED_ID, 1, found=(("spf", "pass author.example"),))

    assert not disclose(event, LogLevel.COUNTS, pepper=b"p").found
