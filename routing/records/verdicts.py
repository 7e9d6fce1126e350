"""Judging one record: what each server said, put together into one verdict in words.

| the zone's name servers | a resolver | verdict |
|---|---|---|
| all right | right, or silent | right |
| all right | still something else | not yet everywhere |
| some right | – | not yet everywhere |
| none right | – | missing, wrong, several |
| silent | any | what the resolver says |
| silent | silent | could not be asked |
"""

from collections.abc import Callable, Sequence
from typing import Final

from routing.records.dmarc_verdict import dmarc_finding
from routing.records.mx_verdict import mx_finding
from routing.records.policies import is_spf, key_difference
from routing.records.spf_verdict import spf_finding
from routing.records.values import (
    Answer,
    Finding,
    Kind,
    Outcome,
    Question,
    Seen,
    Verdict,
    Wanted,
    nothing_there,
)
from routing.records.wanted import DomainFacts, policies_above

NOBODY: Final = Seen((), Answer(Outcome.UNKNOWN, detail="nobody was asked"))
FINE: Final = frozenset({Verdict.RIGHT, Verdict.NOT_NEEDED})

Judge = Callable[[Answer], Finding]


def judge(wanted: Wanted, seen: dict[Question, Seen], facts: DomainFacts) -> Finding:
    """How one record stands."""
    answers = seen.get(wanted.question, NOBODY)
    return put_together(answers, _judge_of(wanted, seen, facts), follows=_follows(wanted))


def put_together(seen: Seen, judge_one: Judge, *, follows: bool) -> Finding:
    """One finding from those of all servers. `follows`: a CNAME leads to the record."""
    known = [one for one in seen.authoritative if one.is_known and not _leads_away(one, follows)]
    findings = [judge_one(answer) for answer in known]
    if not findings:
        if not seen.resolver.is_known:
            return _could_not_be_asked(seen)
        return judge_one(seen.resolver)
    bad = [finding for finding in findings if finding.verdict not in FINE]
    if not bad:
        return _or_not_yet(findings[0], seen.resolver, judge_one)
    if len(bad) < len(findings):
        text = f"Some of the zone's name servers have it already, others not: {bad[0].text}"
        return Finding(Verdict.NOT_YET, text, bad[0].advice)
    return bad[0]


def _leads_away(answer: Answer, follows: bool) -> bool:
    """An alias to a place that this server does not know: only a resolver can tell."""
    return follows and bool(answer.alias) and not answer.values


def _or_not_yet(right: Finding, resolver: Answer, judge_one: Judge) -> Finding:
    if not resolver.is_known:
        return right
    old = judge_one(resolver)
    if old.verdict in FINE:
        return right
    return Finding(
        Verdict.NOT_YET,
        "The zone's name servers have it; the resolver that we asked still remembers what was "
        f"there before. {old.text} This passes by itself, at the latest when the old record's "
        "time to live is over.",
    )


def _could_not_be_asked(seen: Seen) -> Finding:
    details = [one.detail for one in (*seen.authoritative, seen.resolver) if one.detail]
    why = f" ({details[0]})" if details else ""
    return Finding(
        Verdict.UNKNOWN,
        f"The DNS gave no usable answer{why}. This says nothing about your record; we ask again.",
    )


def _follows(wanted: Wanted) -> bool:
    # The proof must stand at its own name: who controls a CNAME's target is not the owner.
    return wanted.kind is not Kind.PROOF


def _judge_of(wanted: Wanted, seen: dict[Question, Seen], facts: DomainFacts) -> Judge:
    match wanted.kind:
        case Kind.PROOF:
            return lambda answer: _proof(wanted, answer)
        case Kind.MX:
            return lambda answer: mx_finding(wanted, answer, facts.mx_hosts)
        case Kind.SPF:
            return lambda answer: spf_finding(wanted, answer, facts)
        case Kind.DKIM:
            return lambda answer: _dkim(wanted, answer)
        case Kind.DMARC:
            above = [(one.name, seen.get(one, NOBODY)) for one in policies_above(facts.name)]
            return lambda answer: dmarc_finding(wanted, answer, above)


def _proof(wanted: Wanted, answer: Answer) -> Finding:
    if answer.alias:
        text = f"A CNAME to {answer.alias} stands at this name; the proof must stand here itself."
        return Finding(Verdict.WRONG, text, wanted.value)
    if wanted.value in answer.values:
        return Finding(Verdict.RIGHT, "The proof is there.")
    if not answer.values:
        return Finding(Verdict.MISSING, f"There is {answer.outcome.value}.", wanted.value)
    return Finding(Verdict.WRONG, _almost(wanted.value, answer.values), wanted.value)


def _almost(value: str, there: Sequence[str]) -> str:
    """What a person most likely did when another text stands at the name of the proof."""
    for text in there:
        if text.strip().strip('"') == value:
            return "The text has spaces or quotation marks around it that do not belong to it."
        if text.startswith("mxax-verify="):
            return "There is a proof of another claim: each claim has a text of its own."
    return "There is a TXT record, but none that is the proof."


def _dkim(wanted: Wanted, answer: Answer) -> Finding:
    keys = [text for text in answer.values if not is_spf(text)]
    if not keys:
        return Finding(Verdict.MISSING, nothing_there(answer), wanted.value)
    if len(keys) > 1:
        text = "There are several TXT records at this name; receivers may read any of them. Leave "
        return Finding(Verdict.SEVERAL, text + "only ours.", wanted.value)
    difference = key_difference(keys[0], wanted.value)
    if difference:
        return Finding(Verdict.WRONG, f"A record is there, but {difference}.", wanted.value)
    return Finding(Verdict.RIGHT, "The key is there.")
