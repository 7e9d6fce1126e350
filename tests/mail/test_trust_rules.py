"""The policy of trust as a table: each rule, and which one is asked before which (C8, E11, E12)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

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
from mail.policy.trust import (
    Action,
    ListEntry,
    ListKind,
    OnQuarantine,
    OnScannerAway,
    ScanPolicy,
    ScoreLimits,
    TrustFacts,
    TrustPolicy,
)
from mail.policy.trust_rules import TRUST_RULES, Opinion, judge_trust
from mail.scanning import ScanOutcome, ScanResult

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
AUTHOR = "carol@author.example"
SAID = "lists.example; dmarc=pass (p=reject) header.from=author.example"
PASSES = DmarcVerdict(
    DmarcResult.PASS, "author.example", DmarcPolicy.REJECT, "author.example", aligned_by=("dkim",)
)
FAILS = replace(PASSES, result=DmarcResult.FAIL, aligned_by=())
QUARANTINED = replace(FAILS, policy=DmarcPolicy.QUARANTINE)
NO_DNS = DmarcVerdict(DmarcResult.TEMPERROR, "author.example", reason="no answer")
UNJUDGED = DmarcVerdict(DmarcResult.PERMERROR, reason="no author domain")
NO_RECORD = DmarcVerdict(DmarcResult.NONE, "author.example")
CHAIN = ArcVerdict(ArcResult.PASS, (ArcSet(1, "lists.example", "s", SAID),), highest_instance=1)
SPAM = ScanResult("rspamd", ScanOutcome.SPAM, score=12.5, threshold=6)
VIRUS = ScanResult("clamd", ScanOutcome.VIRUS, names=("Eicar-Test-Signature",))
AWAY = ScanResult("rspamd", ScanOutcome.FAILED)


def found(dmarc=PASSES, *, spf=SpfResult.NONE, spf_domain="", dkim=(), arc=None) -> Authentication:
    check = SpfCheck(spf, spf_domain)
    return Authentication(
        client_ip="192.0.2.7",
        helo="mx.author.example",
        reverse_path=AUTHOR,
        client_name=ClientName(ClientNameResult.PASS, "mx.author.example"),
        spf=SpfVerdict(check, check),
        dkim=dkim,
        arc=arc or ArcVerdict(ArcResult.NONE),
        dmarc=dmarc,
    )


def facts(dmarc=PASSES, policy=None, **changes) -> TrustFacts:
    parts = {
        name: changes.pop(name) for name in ("spf", "spf_domain", "dkim", "arc") if name in changes
    }
    given = {
        "policy": policy or TrustPolicy(),
        "authentication": found(dmarc, **parts),
        "client_ip": "192.0.2.7",
        "reverse_path": AUTHOR,
        "author_addresses": (AUTHOR,),
        "author_domains": ("author.example",),
        "from_count": 1,
        "recipient_domain": "example.org",
        "route_id": 5,
        "now": NOW,
        **changes,
    }
    return TrustFacts(**given)


def listed(kind: ListKind, subject: str, **scope) -> TrustPolicy:
    return TrustPolicy(entries=(ListEntry(1, kind, subject, **scope),))


def allows(subject: str, **scope) -> TrustPolicy:
    return listed(ListKind.ALLOW, subject, **scope)


def blocks(subject: str, **scope) -> TrustPolicy:
    return listed(ListKind.BLOCK, subject, **scope)


def scans(**values) -> TrustPolicy:
    """What is chosen about scanners; scores are those of rspamd."""
    scores = {name: values.pop(name) for name in list(values) if name.endswith("_from")}
    return TrustPolicy(scanning=ScanPolicy(rspamd=ScoreLimits(**scores), **values))


HOLDS = TrustPolicy(on_dmarc_quarantine=OnQuarantine.HOLD)
LENIENT = TrustPolicy(refuses_dmarc_reject=False)
TRUSTING = TrustPolicy(trusted_sealers=("lists.example",))
AWAY_DEFERS = scans(when_away=OnScannerAway.DEFER)
REFUSED, HELD, TAKEN, LATER = Action.REFUSE, Action.QUARANTINE, Action.ACCEPT, Action.DEFER


@pytest.mark.parametrize(
    ("given", "action", "rule", "code"),
    [
        (facts(), TAKEN, "accept", ""),
        (facts(from_count=0, author_addresses=()), REFUSED, "unjudgeable_author", "550 5.7.1"),
        (facts(from_count=2), REFUSED, "unjudgeable_author", "550 5.7.1"),
        (facts(UNJUDGED), REFUSED, "unjudgeable_author", "550 5.7.1"),
        (facts(NO_RECORD, policy=blocks("author.example")), REFUSED, "blocked", "550 5.7.1"),
        (facts(FAILS), REFUSED, "dmarc_reject", "550 5.7.26"),
        (facts(FAILS, policy=LENIENT), TAKEN, "accept", ""),
        (facts(FAILS, policy=allows("192.0.2.0/24")), TAKEN, "allowed_client", ""),
        (facts(FAILS, policy=TRUSTING, arc=CHAIN), TAKEN, "trusted_sealer", ""),
        (facts(QUARANTINED), TAKEN, "accept", ""),
        (facts(QUARANTINED, policy=HOLDS), HELD, "dmarc_quarantine", ""),
        (facts(NO_DNS), LATER, "dmarc_unknown", "451 4.7.24"),
        (facts(policy=allows(AUTHOR)), TAKEN, "allowed_author", ""),
        (facts(scans=(VIRUS,)), REFUSED, "virus_found", "550 5.7.1"),
        (facts(scans=(VIRUS,), policy=scans(refuses_viruses=False)), HELD, "virus_found", ""),
        (facts(scans=(SPAM,)), TAKEN, "accept", ""),
        (
            facts(scans=(SPAM,), policy=scans(refuse_from=12.5)),
            REFUSED,
            "score_refuses",
            "550 5.7.1",
        ),
        (facts(scans=(SPAM,), policy=scans(quarantine_from=10)), HELD, "score_quarantines", ""),
        (facts(scans=(AWAY,)), TAKEN, "accept", ""),
        (facts(scans=(AWAY,), policy=AWAY_DEFERS), LATER, "scanner_away", "451 4.7.1"),
    ],
)
def test_each_rule_has_its_outcome_and_reply(given, action, rule, code):
    judgement = judge_trust(given)

    assert (judgement.action, judgement.rule) == (action, rule)
    assert str(judgement.reply or "").startswith(code)
    assert (judgement.reply is None) == (action in (TAKEN, HELD))


def test_every_rule_decides_in_the_table_above():
    table = test_each_rule_has_its_outcome_and_reply.pytestmark[0].args[1]

    assert {row[2] for row in table} == {rule.__name__ for rule in TRUST_RULES} | {"accept"}


def test_the_trail_names_every_rule_asked_in_order():
    assert judge_trust(facts(FAILS)).trail == (
        *("unjudgeable_author", "blocked", "allowed_client", "trusted_sealer", "dmarc_reject"),
    )
    assert judge_trust(facts(policy=allows(AUTHOR))).trail[-4:] == (
        *("allowed_author", "virus_found", "scanner_away", "accept"),
    )


def test_without_verification_nothing_about_authors_is_asked():
    """It is switched off by the operator: no policy can be read into what was not looked at."""
    unverified = facts(from_count=0, policy=allows(AUTHOR), authentication=None)

    assert judge_trust(unverified).rule == "accept"


def test_spf_alone_refuses_nobody():
    """Forwarding breaks SPF: without DMARC its failure is only said."""
    for result in SpfResult:
        assert judge_trust(facts(NO_RECORD, spf=result)).action is TAKEN


@pytest.mark.parametrize("policy", list(DmarcPolicy))
@pytest.mark.parametrize("result", [one for one in DmarcResult if one.value != "permerror"])
@pytest.mark.parametrize("chosen", [TrustPolicy(), LENIENT, HOLDS])
def test_dmarc_never_does_more_than_the_author_asks(policy, result, chosen):
    dmarc = replace(FAILS, result=result, policy=policy)

    judgement = judge_trust(facts(dmarc, policy=chosen))

    if judgement.action is REFUSED:
        assert (result, policy) == (DmarcResult.FAIL, DmarcPolicy.REJECT)
    if judgement.action is HELD:
        assert (result, policy) == (DmarcResult.FAIL, DmarcPolicy.QUARANTINE)
    if judgement.action is LATER:
        assert result is DmarcResult.TEMPERROR
        assert policy is not DmarcPolicy.NONE


@pytest.mark.parametrize(
    ("dmarc", "policy", "waits"),
    [
        (NO_DNS, TrustPolicy(), True),
        (NO_DNS, LENIENT, False),
        (NO_DNS, replace(LENIENT, on_dmarc_quarantine=OnQuarantine.HOLD), True),
        (replace(NO_DNS, policy_domain="author.example"), TrustPolicy(), False),
        (replace(FAILS, result=DmarcResult.TEMPERROR), TrustPolicy(), True),
        (replace(QUARANTINED, result=DmarcResult.TEMPERROR), TrustPolicy(), False),
        (replace(QUARANTINED, result=DmarcResult.TEMPERROR), HOLDS, True),
    ],
)
def test_dns_that_fails_makes_mail_wait_only_where_its_answer_would_matter(dmarc, policy, waits):
    assert (judge_trust(facts(dmarc, policy=policy)).action is LATER) == waits


# Authors that cannot be judged


@pytest.mark.parametrize("dmarc", [PASSES, NO_RECORD])
def test_several_authors_whom_dmarc_could_judge_are_taken(dmarc):
    two = facts(dmarc, author_addresses=(AUTHOR, "x@other.example"))

    assert judge_trust(two).rule == "accept"


# The lists


@pytest.mark.parametrize(
    "subject",
    [
        *("carol@author.example", "author.example", ".author.example", ".example"),
        *("bounces@mailer.example", ".mailer.example", "192.0.2.0/24", "192.0.2.7/32"),
    ],
)
def test_a_block_list_knows_author_reverse_path_and_client(subject):
    given = facts(policy=blocks(subject), reverse_path="Bounces@mailer.example")

    judgement = judge_trust(given)

    assert (judgement.rule, judgement.reason) == ("blocked", f"on the block list: {subject}")
    assert subject not in str(judgement.reply)


@pytest.mark.parametrize(
    "subject",
    [
        *("dave@author.example", "sub.author.example", ".sub.author.example", "uthor.example"),
        *("example", "2001:db8::/32", "192.0.3.0/24"),
    ],
)
def test_a_block_list_takes_nobody_else(subject):
    assert judge_trust(facts(policy=blocks(subject))).rule == "accept"


def test_a_domain_with_a_dot_before_it_is_all_below_it():
    below = facts(
        NO_RECORD,
        author_addresses=("x@a.b.author.example",),
        author_domains=("a.b.author.example",),
    )

    assert judge_trust(replace(below, policy=blocks(".author.example"))).rule == "blocked"
    assert (
        judge_trust(replace(below, policy=blocks("author.example"), reverse_path="")).rule
        == "accept"
    )


def test_a_client_of_both_families_is_the_same_client():
    given = facts(policy=blocks("192.0.2.0/24"), client_ip="::ffff:192.0.2.9")

    assert judge_trust(given).rule == "blocked"


@pytest.mark.parametrize(
    ("scope", "counts"),
    [
        ({}, True),
        ({"domain": "example.org"}, True),
        ({"domain": "other.example"}, False),
        ({"route_id": 5}, True),
        ({"route_id": 6}, False),
        ({"domain": "example.org", "route_id": 6}, False),
        ({"expires_at": NOW + timedelta(seconds=1)}, True),
        ({"expires_at": NOW}, False),
    ],
)
def test_an_entry_counts_where_and_as_long_as_it_says(scope, counts):
    assert (judge_trust(facts(policy=blocks(AUTHOR, **scope))).rule == "blocked") == counts


def test_who_is_blocked_and_allowed_is_blocked():
    both = TrustPolicy(
        entries=(
            ListEntry(1, ListKind.ALLOW, "192.0.2.0/24"),
            ListEntry(2, ListKind.BLOCK, "author.example"),
        )
    )

    assert judge_trust(facts(policy=both)).rule == "blocked"


@pytest.mark.parametrize("subject", [AUTHOR, "author.example", ".author.example", ".example"])
def test_a_forger_gains_nothing_by_a_name_on_the_allow_list(subject):
    """E12: anybody can write an address; only its owner makes DMARC pass."""
    spam = {"scans": (SPAM,)}
    strict = replace(allows(subject), scanning=ScanPolicy(rspamd=ScoreLimits(refuse_from=5)))

    assert judge_trust(facts(FAILS, policy=allows(subject))).rule == "dmarc_reject"
    assert judge_trust(facts(NO_RECORD, policy=strict, **spam)).rule == "score_refuses"
    assert judge_trust(facts(QUARANTINED, policy=strict, **spam)).rule == "score_refuses"
    assert judge_trust(facts(PASSES, policy=strict, **spam)).rule == "allowed_author"


@pytest.mark.parametrize(
    ("evidence", "is_genuine"),
    [
        ({"dkim": (DkimSignature(DkimResult.PASS, "author.example"),)}, True),
        ({"spf": SpfResult.PASS, "spf_domain": "author.example"}, True),
        ({"dkim": (DkimSignature(DkimResult.FAIL, "author.example"),)}, False),
        ({"dkim": (DkimSignature(DkimResult.PASS, "author.example", is_testing=True),)}, False),
        ({"dkim": (DkimSignature(DkimResult.PASS, "evil.example"),)}, False),
        ({"dkim": (DkimSignature(DkimResult.PASS, "example"),)}, False),
        ({"spf": SpfResult.SOFTFAIL, "spf_domain": "author.example"}, False),
        ({"spf": SpfResult.PASS, "reverse_path": "x@evil.example"}, False),
        ({"spf": SpfResult.PASS, "reverse_path": ""}, False),
    ],
)
def test_without_a_dmarc_record_an_author_is_genuine_by_his_very_domain(evidence, is_genuine):
    policy = replace(allows(AUTHOR), scanning=ScanPolicy(rspamd=ScoreLimits(quarantine_from=5)))

    judgement = judge_trust(facts(NO_RECORD, policy=policy, scans=(SPAM,), **evidence))

    assert (judgement.rule == "allowed_author") == is_genuine


def test_a_genuine_reverse_path_on_the_allow_list_spares_hold_and_scores_but_not_p_reject():
    policy = replace(
        allows("bounces@lists.example"),
        on_dmarc_quarantine=OnQuarantine.HOLD,
        scanning=ScanPolicy(rspamd=ScoreLimits(quarantine_from=5)),
    )
    by_list = {"spf": SpfResult.PASS, "reverse_path": "bounces@lists.example", "policy": policy}

    assert judge_trust(facts(QUARANTINED, **by_list, scans=(SPAM,))).rule == "allowed_author"
    assert judge_trust(facts(FAILS, **by_list)).rule == "dmarc_reject"


@pytest.mark.parametrize("subject", ["192.0.2.0/24", AUTHOR])
def test_no_list_lets_a_virus_in_or_goes_without_the_scanner(subject):
    policy = replace(allows(subject), scanning=ScanPolicy(when_away=OnScannerAway.DEFER))

    assert judge_trust(facts(policy=policy, scans=(VIRUS,))).rule == "virus_found"
    assert judge_trust(facts(policy=policy, scans=(AWAY,))).rule == "scanner_away"


# Seals


def chain(*sets: tuple[str, str], result=ArcResult.PASS) -> ArcVerdict:
    return ArcVerdict(
        result,
        tuple(ArcSet(n, sealer, "s", said) for n, (sealer, said) in enumerate(sets, 1)),
        highest_instance=len(sets),
    )


FAILED_HERE = "relay.example; arc=pass; dmarc=fail header.from=author.example"
BOTH = TrustPolicy(trusted_sealers=("lists.example", "relay.example"))


@pytest.mark.parametrize(
    ("arc", "policy", "vouched"),
    [
        (chain(("lists.example", SAID)), TRUSTING, True),
        (chain(("lists.example", SAID)), TrustPolicy(), False),
        (chain(("lists.example", SAID), result=ArcResult.FAIL), TRUSTING, False),
        (chain(("lists.example", SAID), result=ArcResult.TEMPERROR), TRUSTING, False),
        (chain(("sub.lists.example", SAID)), TRUSTING, False),
        (chain(("evil.example", SAID)), TRUSTING, False),
        (chain(("evil.example", SAID), ("lists.example", SAID)), TRUSTING, True),
        # Who seals later may have written another message under the older words.
        (chain(("lists.example", SAID), ("evil.example", SAID)), TRUSTING, False),
        (chain(("lists.example", SAID), ("relay.example", FAILED_HERE)), TRUSTING, False),
        (chain(("lists.example", SAID), ("relay.example", FAILED_HERE)), BOTH, True),
        (chain(("evil.example", SAID), ("relay.example", FAILED_HERE)), BOTH, False),
        (chain(("lists.example", "")), TRUSTING, False),
        (chain(("lists.example", "x; dmarc=pass header.from=other.example")), TRUSTING, False),
        (chain(("lists.example", "x; dmarc=fail header.from=author.example")), TRUSTING, False),
        (
            chain(("lists.example", "x; spf=pass; dkim=pass header.d=author.example")),
            TRUSTING,
            False,
        ),
        (
            chain(("lists.example", "x; spf=pass (; dmarc=pass header.from=author.example)")),
            *(TRUSTING, False),
        ),
        (
            chain(
                ("lists.example", 'x; spf=pass smtp.helo="; dmarc=pass header.from=author.example"')
            ),
            *(TRUSTING, False),
        ),
        (
            chain(("lists.example", f"{SAID}; dmarc=fail header.from=author.example")),
            TRUSTING,
            False,
        ),
    ],
)
def test_a_seal_counts_where_chain_sealers_and_his_own_words_agree(arc, policy, vouched):
    judgement = judge_trust(facts(FAILS, policy=policy, arc=arc))

    assert (judgement.rule == "trusted_sealer") == vouched
    assert (judgement.action is TAKEN) == vouched


def test_no_seal_speaks_for_our_own_tenants_domains_under_p_reject():
    hosted = {"policy": TRUSTING, "arc": CHAIN, "author_is_hosted": True}

    assert judge_trust(facts(FAILS, **hosted)).rule == "dmarc_reject"
    assert judge_trust(facts(NO_DNS, **hosted)).rule == "dmarc_unknown"
    assert judge_trust(facts(QUARANTINED, **hosted)).rule == "trusted_sealer"


@pytest.mark.parametrize(
    "authors",
    [
        (AUTHOR, "ceo@bank.example"),
        ("ceo@bank.example", AUTHOR),
        (),  # it does not read as addresses: who knows whom the list saw in it
    ],
)
def test_no_seal_speaks_for_an_author_who_stands_beside_another(authors):
    """The forwarder may have judged the first of them, and readers see both."""
    domains = ("author.example", "bank.example")
    two = facts(FAILS, policy=TRUSTING, arc=CHAIN, author_addresses=authors, author_domains=domains)

    assert judge_trust(two).rule == "dmarc_reject"


def test_a_seal_speaks_for_one_author_whatever_sender_is_named_beside_him():
    domains = ("author.example", "lists.example")  # Sender: of the list
    assert (
        judge_trust(facts(FAILS, policy=TRUSTING, arc=CHAIN, author_domains=domains)).rule
        == "trusted_sealer"
    )


def test_a_trusted_seal_says_nothing_of_what_is_in_the_message():
    sealed = facts(FAILS, policy=TRUSTING, arc=CHAIN)
    strict = replace(TRUSTING, scanning=ScanPolicy(rspamd=ScoreLimits(quarantine_from=5)))

    assert judge_trust(replace(sealed, scans=(VIRUS,))).rule == "virus_found"
    assert judge_trust(replace(sealed, policy=strict, scans=(SPAM,))).rule == "score_quarantines"


# Scanners


def test_what_is_refused_anyway_is_not_deferred():
    policy = scans(refuse_from=5, quarantine_from=2, when_away=OnScannerAway.DEFER)

    assert judge_trust(facts(scans=(AWAY, SPAM), policy=policy)).rule == "score_refuses"
    half = replace(SPAM, score=3)
    assert judge_trust(facts(scans=(AWAY, half), policy=policy)).rule == "scanner_away"


@pytest.mark.parametrize(("score", "said"), [(4.9, False), (5, True), (99, True)])
def test_scores_are_said_in_the_header_from_the_chosen_one_on(score, said):
    judgement = judge_trust(
        facts(scans=(replace(SPAM, score=score),), policy=scans(add_fields_from=5))
    )

    assert (judgement.action, judgement.adds_fields) == (TAKEN, said)


def by_spamd(score: float) -> ScanResult:
    return ScanResult("spamd", ScanOutcome.SPAM, score=score, threshold=5)


def test_each_scanner_is_measured_by_its_own_limits():
    limits = ScoreLimits(add_fields_from=4, quarantine_from=5, refuse_from=10)
    policy = TrustPolicy(scanning=ScanPolicy(rspamd=ScoreLimits(refuse_from=15), spamd=limits))

    taken = judge_trust(facts(scans=(SPAM, by_spamd(4.5)), policy=policy))
    held = judge_trust(facts(scans=(SPAM, by_spamd(6)), policy=policy))
    refused = judge_trust(facts(scans=(SPAM, by_spamd(10)), policy=policy))

    assert (taken.action, taken.adds_fields) == (TAKEN, True)
    assert (held.action, held.reason) == (HELD, "spamd gives 6, and your limit for it is 5")
    assert (refused.action, refused.rule) == (REFUSED, "score_refuses")
    assert refused.reason == "spamd gives 10, and your limit for it is 10"


@pytest.mark.parametrize(
    ("scan", "action", "said"),
    [
        (replace(SPAM, score=5.9), TAKEN, False),
        (replace(SPAM, score=6), TAKEN, True),
        (replace(SPAM, score=15), REFUSED, True),
        (by_spamd(4.9), TAKEN, False),
        (by_spamd(5), TAKEN, True),
        (by_spamd(15), REFUSED, True),
        (replace(SPAM, scanner="clamd", score=99), TAKEN, False),
    ],
)
def test_who_chose_nothing_has_each_scanners_usual_scores(scan, action, said):
    judgement = judge_trust(facts(scans=(scan,)))

    assert (judgement.action, judgement.adds_fields) == (action, said)


# Rules of an installation


def no_invoices(given: TrustFacts) -> Opinion | None:
    return Opinion(HELD, "an invoice") if "carol" in given.reverse_path else None


def nods(given: TrustFacts) -> Opinion:
    return Opinion(TAKEN, "fine")


def test_an_installations_rule_can_only_say_no_to_what_ours_let_in():
    held = judge_trust(facts(policy=allows(AUTHOR)), (no_invoices,))
    refused = judge_trust(facts(FAILS), (nods,))
    fine = judge_trust(facts(FAILS, policy=TRUSTING, arc=CHAIN), (nods, no_invoices))

    assert (held.action, held.rule, held.trail[-1]) == (HELD, "no_invoices", "no_invoices")
    assert (refused.rule, refused.trail[-1]) == ("dmarc_reject", "dmarc_reject")
    assert (fine.action, fine.rule, fine.trail[-1]) == (TAKEN, "trusted_sealer", "nods")
    assert judge_trust(facts(), (lambda _: None,)).rule == "accept"
