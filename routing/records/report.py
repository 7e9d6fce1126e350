"""A look at a domain as it is kept in DomainCheck.report and shown: one row a record."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from mail.trace import printable
from routing.records.mx_verdict import comes_to_us
from routing.records.policies import is_dmarc, is_spf
from routing.records.values import (
    Answer,
    Finding,
    Kind,
    Need,
    Question,
    Seen,
    Verdict,
    Wanted,
)
from routing.records.verdicts import NOBODY, judge
from routing.records.wanted import DomainFacts, wanted_records

MOST_VALUES: Final = 5
MOST_CHARACTERS: Final = 600


@dataclass(frozen=True, slots=True)
class Said:
    """What one side says now: its values, or in words why there is none. Strangers' text."""

    values: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One record: what is wanted, what is there, and how that stands.

    `verdict` is empty before the first look; `publish` is what to put into the zone, empty where
    there is nothing to do.
    """

    kind: Kind
    need: Need
    name: str
    type: str
    value: str
    why: str
    verdict: Verdict | None = None
    text: str = ""
    advice: str = ""
    authoritative: Said = Said()
    resolver: Said = Said()

    @property
    def publish(self) -> str:
        """Never a value that would stand in the place of something that was not looked at."""
        if self.verdict in (None, Verdict.UNKNOWN):
            return self.value if self.need is not Need.SENDING or self.kind is Kind.DKIM else ""
        return self.advice

    @property
    def is_only_ours(self) -> bool:
        """Whether our value stands there alone; an SPF or DMARC record is its owner's."""
        return self.kind in (Kind.PROOF, Kind.MX, Kind.DKIM)

    @property
    def is_open(self) -> bool:
        """Whether the owner has something to do."""
        return self.verdict in (Verdict.MISSING, Verdict.WRONG, Verdict.SEVERAL)


def unseen(facts: DomainFacts) -> list[Row]:
    """The rows before anybody looked."""
    return [_row(wanted) for wanted in wanted_records(facts)]


def report_of(facts: DomainFacts, seen: dict[Question, Seen]) -> list[Row]:
    """One row a record; each is judged by itself."""
    return [_judged(wanted, seen, facts) for wanted in wanted_records(facts)]


def reaches_us(facts: DomainFacts, seen: dict[Question, Seen]) -> bool | None:
    """Whether mail for the domain comes to us; None where nobody can tell, or not for sure."""
    answers = seen.get(Question(facts.name, "MX"), NOBODY)
    known = [one for one in answers.authoritative if one.is_known and not _leads_away(one)]
    said = {comes_to_us(one, facts.mx_hosts) for one in known}
    if answers.resolver.is_known and (not known or said == {True}):
        said.add(comes_to_us(answers.resolver, facts.mx_hosts))
    return said.pop() if len(said) == 1 else None


def latest(facts: DomainFacts, kept: Sequence[dict[str, Any]]) -> list[Row]:
    """What is wanted now, with what the last look said of each record that it knew."""
    before = {(row.kind, row.name, row.value): row for row in map(from_json, kept)}
    return [
        replace(before[_identity(row)], why=row.why, need=row.need)
        if _identity(row) in before
        else row
        for row in unseen(facts)
    ]


def to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def from_json(kept: dict[str, Any]) -> Row:
    values = dict(kept)
    for side in ("authoritative", "resolver"):
        said = values.pop(side)
        values[side] = Said(tuple(said["values"]), said["note"])
    verdict = values.pop("verdict")
    return Row(
        kind=Kind(values.pop("kind")),
        need=Need(values.pop("need")),
        verdict=Verdict(verdict) if verdict else None,
        **values,
    )


def _identity(row: Row) -> tuple[Kind, str, str]:
    return row.kind, row.name, row.value


def _leads_away(answer: Answer) -> bool:
    return bool(answer.alias) and not answer.values


def _row(wanted: Wanted) -> Row:
    return Row(wanted.kind, wanted.need, wanted.name, wanted.type, wanted.value, wanted.why)


def _judged(wanted: Wanted, seen: dict[Question, Seen], facts: DomainFacts) -> Row:
    finding: Finding = judge(wanted, seen, facts)
    answers = seen.get(wanted.question, NOBODY)
    return replace(
        _row(wanted),
        verdict=finding.verdict,
        text=printable(finding.text, MOST_CHARACTERS),
        advice=finding.advice if _is_plain(finding.advice) else "",
        authoritative=_said_by_all(wanted.kind, answers.authoritative),
        resolver=_said(wanted.kind, answers.resolver),
    )


def _is_plain(advice: str) -> bool:
    """Not so where it would hand on what a stranger put into the zone and nobody can read."""
    return advice.isascii() and advice.isprintable()


def _said_by_all(kind: Kind, answers: Sequence[Answer]) -> Said:
    """What the zone's servers say; those that were silent count only where all were."""
    heard = [_said(kind, one) for one in answers if one.is_known]
    if not heard:
        return Said(note=answers[0].detail if answers else "could not be asked")
    if all(one == heard[0] for one in heard):
        return heard[0]
    values = dict.fromkeys(value for one in heard for value in one.values)
    return Said(tuple(values)[:MOST_VALUES], "the name servers do not agree")


def _said(kind: Kind, answer: Answer) -> Said:
    if not answer.is_known:
        return Said(note=answer.detail or "no answer")
    concerned = [text for text in answer.values if _concerns(kind, text, answer)]
    values = tuple(printable(text, MOST_CHARACTERS) for text in concerned[:MOST_VALUES])
    if len(concerned) > MOST_VALUES:
        return Said(values, f"and {len(concerned) - MOST_VALUES} more")
    if answer.alias:
        return Said(values, f"a CNAME to {answer.alias}")
    return Said(values, "" if values else _nothing(kind, answer))


def _concerns(kind: Kind, text: str, answer: Answer) -> bool:
    """Texts for others stand at the name of a domain, and at what an alias leads to."""
    if kind is Kind.SPF:
        return is_spf(text)
    return kind is not Kind.DMARC or not answer.alias or is_dmarc(text)


def _nothing(kind: Kind, answer: Answer) -> str:
    return "no SPF record" if kind is Kind.SPF and answer.values else answer.outcome.value
