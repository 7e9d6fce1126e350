"""The values that travel between the parts of this package; all closed sets."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a record is for."""

    PROOF = "proof"
    MX = "mx"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"


class Need(StrEnum):
    """What does not work without the record."""

    REQUIRED = "required"
    SENDING = "for sending"
    RECOMMENDED = "recommended"


class Verdict(StrEnum):
    """How a record stands."""

    RIGHT = "right"
    MISSING = "missing"
    WRONG = "wrong"
    SEVERAL = "several records"
    NOT_YET = "not yet everywhere"
    UNKNOWN = "could not be asked"
    NOT_NEEDED = "nothing to do"


class Outcome(StrEnum):
    """What one server said."""

    FOUND = "found"
    NO_DATA = "no record of this type"
    NXDOMAIN = "no such name"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Question:
    """A name (A-label, no dot at its end) and a type: TXT or MX."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server said to one question.

    `values`: a TXT record's character strings joined; an MX as `10 mx.example.org` (`0 .` is the
    null MX). `alias`: the target of a CNAME at this very name; the values are those at its end.
    """

    outcome: Outcome
    values: tuple[str, ...] = ()
    alias: str = ""
    detail: str = ""

    @property
    def is_known(self) -> bool:
        return self.outcome is not Outcome.UNKNOWN


@dataclass(frozen=True, slots=True)
class Seen:
    """What the zone's own name servers and a resolver say to one question."""

    authoritative: tuple[Answer, ...]
    resolver: Answer


@dataclass(frozen=True, slots=True)
class Wanted:
    """One record that the domain should publish; `value` without quoting, `why` for people."""

    kind: Kind
    need: Need
    name: str
    type: str
    value: str
    why: str

    @property
    def question(self) -> Question:
        return Question(self.name, self.type)


@dataclass(frozen=True, slots=True)
class Finding:
    """How one record stands.

    `text` says what is there and how it differs; `advice` is the value to publish, whole and with
    what is there already in it; empty where nothing is to be published.
    """

    verdict: Verdict
    text: str
    advice: str = ""


def nothing_there(answer: Answer) -> str:
    """In words, what an answer without a record says."""
    if answer.alias:
        return f"A CNAME to {answer.alias} stands at this name, and no record at its end."
    return f"There is {answer.outcome.value}."
