"""What is said of each record: missing, wrong, not yet everywhere, right, several, not asked."""

from __future__ import annotations

import pytest

from routing.records.report import from_json, latest, reaches_us, report_of, to_json, unseen
from routing.records.values import Answer, Kind, Outcome, Question, Seen, Verdict
from routing.records.wanted import DomainFacts, PublishedKey, questions_of

NAME = "acme.example"
TOKEN = "a" * 40
KEY = PublishedKey("mx2026k7q3-ed", "k=ed25519; p=MCowBQYDK2VwAyEA")
FACTS = DomainFacts(NAME, TOKEN, ("mxax.test",), "include:mxax.test")
SENDER = DomainFacts(NAME, TOKEN, ("mxax.test",), "include:mxax.test", (KEY,))
PROOF = Question(f"_mxax-challenge.{NAME}", "TXT")
MX = Question(NAME, "MX")
SPF = Question(NAME, "TXT")
DKIM = Question(f"{KEY.selector}._domainkey.{NAME}", "TXT")
DMARC = Question(f"_dmarc.{NAME}", "TXT")

NONE = Answer(Outcome.NXDOMAIN)
SILENT = Answer(Outcome.UNKNOWN, detail="no answer in time")
SERVFAIL = Answer(Outcome.UNKNOWN, detail="SERVFAIL")
GOOD = {
    PROOF: (f"mxax-verify={TOKEN}",),
    MX: ("10 mxax.test",),
    SPF: ("v=spf1 include:mxax.test -all", "other-verification=1"),
    DKIM: (f"v=DKIM1; {KEY.public}",),
    DMARC: ("v=DMARC1; p=reject",),
}


def found(*values: str) -> Answer:
    return Answer(Outcome.FOUND, values)


def everywhere(answer: Answer) -> Seen:
    return Seen((answer, answer), answer)


def zone(**changes) -> dict[Question, Seen]:
    """A zone in which all is well but what is named."""
    seen = {question: everywhere(found(*values)) for question, values in GOOD.items()}
    return seen | {globals()[name]: one for name, one in changes.items()}


def verdicts(seen, facts=SENDER) -> dict[Kind, Verdict]:
    return {row.kind: row.verdict for row in report_of(facts, seen)}


def row(seen, kind, facts=SENDER):
    (found_row,) = [one for one in report_of(facts, seen) if one.kind is kind]
    return found_row


def test_a_zone_in_which_all_is_well():
    assert set(verdicts(zone()).values()) == {Verdict.RIGHT}
    assert reaches_us(SENDER, zone()) is True
    assert not [one for one in report_of(SENDER, zone()) if one.advice or one.is_open]


@pytest.mark.parametrize("name", ["PROOF", "MX", "DKIM", "DMARC", "SPF"])
@pytest.mark.parametrize("trouble", [SILENT, SERVFAIL])
def test_trouble_with_one_name_is_its_own_and_never_missing(name, trouble):
    seen = zone(**{name: everywhere(trouble)})

    by_kind = verdicts(seen)

    assert by_kind.pop(Kind[name]) is Verdict.UNKNOWN
    assert set(by_kind.values()) == {Verdict.RIGHT}
    assert trouble.detail in row(seen, Kind[name]).text


@pytest.mark.parametrize("name", ["PROOF", "MX", "DKIM", "DMARC", "SPF"])
def test_one_record_missing_hides_no_other(name):
    seen = zone(**{name: everywhere(NONE)})

    by_kind = verdicts(seen)

    assert by_kind.pop(Kind[name]) is Verdict.MISSING
    assert set(by_kind.values()) == {Verdict.RIGHT}
    missing = row(seen, Kind[name])
    assert missing.publish == missing.value
    assert missing.authoritative.note == "no such name"


@pytest.mark.parametrize("old", [NONE, found("10 mx.elsewhere.example")])
def test_right_at_the_zones_servers_and_old_at_the_resolver_is_not_yet(old):
    seen = zone(MX=Seen((found("10 mxax.test"),) * 2, old))

    judged = row(seen, Kind.MX)

    assert judged.verdict is Verdict.NOT_YET
    assert "resolver" in judged.text
    assert judged.publish == ""
    assert reaches_us(SENDER, seen) is None


def test_name_servers_that_differ_are_not_yet():
    seen = zone(MX=Seen((found("10 mxax.test"), found("5 mx.elsewhere.example")), SILENT))

    judged = row(seen, Kind.MX)

    assert judged.verdict is Verdict.NOT_YET
    assert "mx.elsewhere.example (5)" in judged.text
    assert judged.authoritative.note == "the name servers do not agree"
    assert reaches_us(SENDER, seen) is None


def test_gone_at_the_zones_servers_is_missing_whatever_a_resolver_remembers():
    seen = zone(MX=Seen((NONE, NONE), found("10 mxax.test")))

    assert row(seen, Kind.MX).verdict is Verdict.MISSING
    assert reaches_us(SENDER, seen) is False


def test_one_server_that_is_silent_does_not_count():
    seen = zone(MX=Seen((SILENT, found("10 mxax.test")), SILENT))

    assert row(seen, Kind.MX).verdict is Verdict.RIGHT


def test_without_the_zones_servers_a_resolver_is_believed():
    seen = zone(MX=Seen((), found("10 mxax.test")), DMARC=Seen((SILENT,), NONE))

    assert row(seen, Kind.MX).verdict is Verdict.RIGHT
    assert row(seen, Kind.DMARC).verdict is Verdict.MISSING


@pytest.mark.parametrize(
    ("values", "verdict", "says", "reaches"),
    [
        (("10 mxax.test", "20 mxax.test"), Verdict.RIGHT, "comes to", True),
        (("0 .",), Verdict.WRONG, "no mail at all", False),
        (("10 mx.a.example", "20 mx.b.example"), Verdict.WRONG, "mx.a.example (10)", False),
        (("10 mxax.test", "20 mx.a.example"), Verdict.SEVERAL, "whenever we are slow", True),
        (("20 mxax.test", "10 mx.a.example"), Verdict.SEVERAL, "never reaches", False),
        (("10 mxax.test.evil.example",), Verdict.WRONG, "evil", False),
    ],
)
def test_where_mail_goes(values, verdict, says, reaches):
    seen = zone(MX=everywhere(found(*values)))

    judged = row(seen, Kind.MX)

    assert judged.verdict is verdict
    assert says in judged.text
    assert reaches_us(SENDER, seen) is reaches


def test_an_alias_is_followed_for_mail_and_never_for_the_proof():
    leads_away = Answer(Outcome.NO_DATA, alias="host.elsewhere.example")
    at_its_end = Answer(Outcome.FOUND, ("10 mxax.test",), "host.elsewhere.example")
    proof = Answer(Outcome.FOUND, GOOD[PROOF], "elsewhere.example")
    seen = zone(MX=Seen((leads_away,), at_its_end), PROOF=Seen((proof,), proof))

    assert row(seen, Kind.MX).verdict is Verdict.RIGHT
    assert reaches_us(SENDER, seen) is True
    assert row(seen, Kind.PROOF).verdict is Verdict.WRONG
    assert "CNAME to elsewhere.example" in row(seen, Kind.PROOF).text


def test_an_alias_at_the_name_of_the_proof_is_wrong_wherever_it_leads():
    leads_away = Answer(Outcome.NO_DATA, alias="elsewhere.example")
    at_its_end = Answer(Outcome.FOUND, GOOD[PROOF])

    for resolver in (SILENT, at_its_end):
        judged = row(zone(PROOF=Seen((leads_away,), resolver)), Kind.PROOF)
        assert judged.verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'"mxax-verify={TOKEN}"', "quotation marks"),
        (f" mxax-verify={TOKEN}", "spaces"),
        ("mxax-verify=" + "b" * 40, "another claim"),
        ("hello", "none that is the proof"),
    ],
)
def test_almost_the_proof_is_wrong_and_says_how(text, says):
    judged = row(zone(PROOF=everywhere(found(text))), Kind.PROOF)

    assert judged.verdict is Verdict.WRONG
    assert says in judged.text


def test_a_domain_that_only_receives_needs_no_spf_of_ours():
    for answer in (NONE, found("v=spf1 include:other.example -all")):
        judged = row(zone(SPF=everywhere(answer)), Kind.SPF, FACTS)
        assert judged.verdict is Verdict.NOT_NEEDED
        assert judged.publish == ""
        assert "only receives" in judged.text


def test_spf_of_a_domain_that_sends_is_merged_not_replaced():
    judged = row(zone(SPF=everywhere(found("v=spf1 mx -all", "x=1"))), Kind.SPF)

    assert judged.verdict is Verdict.WRONG
    assert judged.publish == "v=spf1 mx include:mxax.test -all"
    assert judged.authoritative.values == ("v=spf1 mx -all",)


def test_two_spf_records_are_several():
    judged = row(zone(SPF=everywhere(found("v=spf1 mx -all", "v=spf1 a ~all"))), Kind.SPF)

    assert judged.verdict is Verdict.SEVERAL
    assert judged.publish == "v=spf1 mx a include:mxax.test -all"


def test_before_the_first_look_no_spf_is_advised_that_could_replace_one():
    rows = {one.kind: one for one in unseen(SENDER)}

    assert rows[Kind.SPF].publish == ""
    assert rows[Kind.MX].publish == "10 mxax.test."
    assert rows[Kind.DKIM].publish


def test_too_many_look_ups_are_told():
    many = " ".join(f"include:s{number}.example" for number in range(10))

    judged = row(zone(SPF=everywhere(found(f"v=spf1 {many} -all"))), Kind.SPF)

    assert "more than 10 look-ups" in judged.text


def test_dmarc_starts_at_none_and_is_left_where_it_is_stricter():
    missing = row(zone(DMARC=everywhere(NONE)), Kind.DMARC)
    strict = row(zone(), Kind.DMARC)
    broken = row(zone(DMARC=everywhere(found("v=DMARC1; rua=mailto:a@b.example"))), Kind.DMARC)
    twice = row(
        zone(DMARC=everywhere(found("v=DMARC1; p=none", "v=DMARC1; p=quarantine"))), Kind.DMARC
    )

    assert missing.publish == "v=DMARC1; p=none"
    assert (strict.publish, strict.text) == ("", "The policy is reject; leave it.")
    assert broken.publish == "v=DMARC1; p=none; rua=mailto:a@b.example"
    assert (twice.verdict, twice.publish) == (Verdict.SEVERAL, "v=DMARC1; p=quarantine")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(Outcome.NXDOMAIN, alias="x.host.example"), "and no record at its end"),
        (Answer(Outcome.NO_DATA, alias="x.host.example"), "and no record at its end"),
        (
            Answer(Outcome.FOUND, ("secret-verification=1",), alias="x.host.example"),
            "leads to no DMARC record",
        ),
    ],
)
def test_an_alias_at_the_name_of_the_policy_is_told_in_words(answer, said):
    judged = row(zone(DMARC=everywhere(answer)), Kind.DMARC)

    assert (judged.verdict, judged.publish) == (Verdict.MISSING, "v=DMARC1; p=none")
    assert judged.text.startswith("A CNAME to x.host.example stands at this name, ")
    assert said in judged.text
    assert (judged.resolver.values, judged.resolver.note) == ((), "a CNAME to x.host.example")


def test_the_policy_of_the_domain_above_counts():
    facts = DomainFacts("mail.acme.example", TOKEN, ("mxax.test",), "include:mxax.test")
    above = everywhere(found("v=DMARC1; p=reject; sp=quarantine"))

    judged = row(
        {Question("_dmarc.mail.acme.example", "TXT"): everywhere(NONE), DMARC: above},
        Kind.DMARC,
        facts,
    )

    assert DMARC in questions_of(facts)
    assert Question("_dmarc.example", "TXT") not in questions_of(facts)
    assert judged.verdict is Verdict.NOT_NEEDED
    assert "quarantine" in judged.text


def test_two_texts_at_a_selector_are_several():
    judged = row(zone(DKIM=everywhere(found(GOOD[DKIM][0], "v=DKIM1; p=other"))), Kind.DKIM)

    assert judged.verdict is Verdict.SEVERAL


def test_an_operators_word_needs_no_proof_and_the_mx_is_judged_all_the_same():
    facts = DomainFacts(NAME, "", ("mxax.test",), "include:mxax.test")

    by_kind = verdicts(zone(MX=everywhere(NONE)), facts)

    assert Kind.PROOF not in by_kind
    assert by_kind[Kind.MX] is Verdict.MISSING


def test_a_report_comes_back_from_json_and_keeps_to_what_is_wanted_now():
    seen = zone(MX=everywhere(found("5 mx.elsewhere.example")))
    kept = to_json(report_of(FACTS, seen))
    import json

    rows = latest(SENDER, json.loads(json.dumps(kept)))

    assert [from_json(one) for one in json.loads(json.dumps(kept))] == report_of(FACTS, seen)
    by_kind = {one.kind: one for one in rows}
    assert by_kind[Kind.MX].verdict is Verdict.WRONG
    assert by_kind[Kind.DKIM].verdict is None, "a key made since the last look was not looked at"


def test_a_strangers_zone_cannot_fill_our_pages():
    flood = everywhere(Answer(Outcome.FOUND, tuple("x" * 5000 + str(n) for n in range(90))))

    judged = row(zone(DMARC=flood), Kind.DMARC)

    assert len(judged.authoritative.values) == 5
    assert max(map(len, judged.authoritative.values)) == 600
    assert judged.authoritative.note == "and 85 more"
