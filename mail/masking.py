"""What may be told of a next hop's reply: its codes, and words of our own.

The rule is the simplest that is safe: **no octet of a next hop's text is passed on.** A reply names
the private destination in more forms than anyone can list (angle brackets, VERP, xtext, a host's
name, a help page of the provider), and a local part like `user` cannot be cut out of "No such user"
without pointing at it. So the text is only *read*, to learn what it means, and the author gets the
meaning in our words, with the address that he wrote himself. The tenant's log has it verbatim.

    reply of the next hop (str)  ->  diagnose  ->  Diagnosis: two codes and a `Meaning`

What decides, in this order: the enhanced code where it says something, else well-known phrases,
else the basic code. The codes are numbers from closed lists (RFC 3463 and its registry); one that
is not on the list becomes the general one of its subject.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Meaning(Enum):
    """What a refusal means to its author, in the words that he gets."""

    NO_MAILBOX = "There is no mailbox of that name."
    MAILBOX_DISABLED = "The mailbox does not take mail at present."
    MAILBOX_FULL = "The mailbox is full."
    TOO_LARGE = "The message is larger than the recipient's server takes."
    NO_SUCH_HOST = "The domain does not take mail."
    UNREACHABLE = "The recipient's server could not be reached."
    LOOP = "The message went round in a circle."
    EXPIRED = "It could not be handed over for several days, so we gave up."
    FORM = "The recipient's server cannot take a message of this form."
    POLICY = "The recipient's server does not want the message."
    TRANSIENT = "The recipient's server has trouble at present."
    REFUSED = "The recipient's server refused the message."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A reply without its text. `basic` is 0 without an SMTP reply; `enhanced` is never empty."""

    basic: int
    enhanced: str
    meaning: Meaning

    @property
    def is_policy(self) -> bool:
        """Whether the content or the client was not wanted, rather than the address."""
        return self.meaning is Meaning.POLICY

    @property
    def is_permanent(self) -> bool:
        return self.enhanced.startswith("5")

    def diagnostic_code(self, shown: str) -> str:
        """The value of a Diagnostic-Code field (RFC 3464, 2.3.6), about the address shown."""
        if self.basic:
            return f"smtp; {self.basic} {self.enhanced} <{shown}>: {self.meaning.value}"
        return f"x-mxax; {self.enhanced} <{shown}>: {self.meaning.value}"


GAVE_UP: Final = Diagnosis(0, "5.4.7", Meaning.EXPIRED)
"""The end of a delivery's life (RFC 3463, 3.5): what the last reply was is for the log."""

# The registry of enhanced codes: the highest detail of each subject (RFC 3463, 4; IANA).
_HIGHEST_DETAIL: Final = {0: 0, 1: 10, 2: 4, 3: 6, 4: 7, 5: 6, 6: 10, 7: 30}

_BY_DETAIL: Final = {
    (1, 0): Meaning.NO_MAILBOX,
    (1, 1): Meaning.NO_MAILBOX,
    (1, 2): Meaning.NO_SUCH_HOST,
    (1, 3): Meaning.NO_MAILBOX,
    (1, 4): Meaning.NO_MAILBOX,
    (1, 6): Meaning.NO_MAILBOX,
    (1, 7): Meaning.POLICY,
    (1, 8): Meaning.POLICY,
    (1, 10): Meaning.NO_SUCH_HOST,
    (2, 0): Meaning.MAILBOX_DISABLED,
    (2, 1): Meaning.MAILBOX_DISABLED,
    (2, 2): Meaning.MAILBOX_FULL,
    (2, 3): Meaning.TOO_LARGE,
    (3, 1): Meaning.MAILBOX_FULL,
    (3, 4): Meaning.TOO_LARGE,
    (4, 1): Meaning.UNREACHABLE,
    (4, 2): Meaning.UNREACHABLE,
    (4, 3): Meaning.UNREACHABLE,
    (4, 4): Meaning.UNREACHABLE,
    (4, 6): Meaning.LOOP,
    (4, 7): Meaning.EXPIRED,
}
_BY_SUBJECT: Final = {5: Meaning.FORM, 6: Meaning.FORM, 7: Meaning.POLICY}
# Used for anything: Exchange says 5.1.10 for unknown mailboxes, Outlook.com 5.5.0.
_VAGUE: Final = frozenset({(1, 0), (1, 10), (5, 0)})

# Asked in this order: a text that speaks of spam and of a mailbox is about spam.
_PHRASES: Final = (
    (
        Meaning.POLICY,
        r"\bspam|block(?:ed|ing| ?list)|black-?list|banned|\bdnsbl|\brbl\b|reputation|\bspf\b|"
        r"\bdkim\b|\bdmarc\b|polic(?:y|ies)|content reject|virus|malware|phish|unsolicited|\babus|"
        r"relay(?:ing)? (?:access )?(?:is )?(?:denied|not)|not permitted to relay|prohibited|"
        r"access denied|unauthenticated|authentication|reverse dns|poor sender",
    ),
    (Meaning.LOOP, r"too many hops|hop count|mail loop|\bloops? back|routing loop"),
    (
        Meaning.MAILBOX_FULL,
        r"quota|(?:mailbox|inbox|user|account|storage).{0,30}\bfull\b|over its limit|"
        r"storage (?:space|limit)|out of (?:storage|space)|exceeded.{0,20}storage",
    ),
    (
        Meaning.TOO_LARGE,
        r"too (?:big|large)|message size|size (?:limit|exceed)|exceeds?.{0,30}size|"
        r"maximum.{0,20}size",
    ),
    (
        Meaning.MAILBOX_DISABLED,
        r"disabled|inactive|suspended|deactivated|locked|expired account|not active|dormant",
    ),
    (
        Meaning.NO_MAILBOX,
        r"(?:user|mailbox|account|recipient|address|alias).{0,60}"
        r"(?:unknown|not (?:be )?found|unavailable|invalid|not exist|n't (?:exist|have)|rejected|"
        r"not recogni|not valid|undeliverable|unroutable)|"
        r"(?:unknown|invalid|no such|bad|unrouteable|undeliverable).{0,30}"
        r"(?:user|mailbox|account|recipient|address|local|person)|no mailbox|isn't known|"
        r"does not exist|doesn't exist|not our customer|not listed in",
    ),
    (
        Meaning.UNREACHABLE,
        r"timed? ?out|connection (?:refused|reset|lost|dropped)|network is unreachable|no route|"
        r"could not connect|cannot connect|lost connection|name or service",
    ),
)
_COMPILED: Final = tuple((meaning, re.compile(text, re.I)) for meaning, text in _PHRASES)

_MAX_READ_CHARACTERS: Final = 2_000
_BASIC = re.compile(r"\s*+([2-5]\d\d)(?!\d)")
_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
# Names of people and hosts: what a phrase must not be found in. "=" joins them in VERP and SRS.
_NAMED = re.compile(r"<[^<>]{1,320}>|\S*[@=%/]\S*|\w[\w-]*(?:\.[\w-]+)+")
_LINE_CODE = re.compile(r"[\r\n]+\d{3}[ -]|[\r\n]+")


def diagnose(reply: str) -> Diagnosis:
    """What a next hop's reply, or our own word for a failed connection, tells its author.

    Only the first 2,000 characters are read.
    """
    text = reply[:_MAX_READ_CHARACTERS]
    basic = _basic_code(text)
    given = _enhanced_code(text, basic)
    level = basic // 100 if basic else given[0] if given else 4
    meaning = _meaning(text, level, given)
    return Diagnosis(basic, _registered(level, given), meaning)


def _basic_code(text: str) -> int:
    found = _BASIC.match(text)
    return int(found[1]) if found and found[1][0] in "45" else 0


def _enhanced_code(text: str, basic: int) -> tuple[int, int, int] | None:
    """The first enhanced code whose class does not contradict the basic code."""
    for found in _ENHANCED.finditer(text):
        level, subject, detail = (int(number) for number in found.groups())
        if level in (4, 5) and (not basic or level == basic // 100):
            return level, subject, detail
    return None


def _registered(level: int, given: tuple[int, int, int] | None) -> str:
    if given is None or given[1] not in _HIGHEST_DETAIL:
        return f"{level}.0.0"
    subject, detail = given[1:]
    return f"{level}.{subject}.{detail if detail <= _HIGHEST_DETAIL[subject] else 0}"


def _meaning(text: str, level: int, given: tuple[int, int, int] | None) -> Meaning:
    by_code = _meaning_of_code(given) if given else None
    if by_code is None or (given and given[1:] in _VAGUE):
        by_code = _meaning_of_text(text) or by_code
    elif by_code is Meaning.NO_MAILBOX and _meaning_of_text(text) is Meaning.POLICY:
        by_code = Meaning.POLICY  # "550 5.1.0 … blocked": a common way to hide it
    return by_code or (Meaning.REFUSED if level == 5 else Meaning.TRANSIENT)


def _meaning_of_code(given: tuple[int, int, int]) -> Meaning | None:
    return _BY_DETAIL.get(given[1:]) or _BY_SUBJECT.get(given[1])


def _meaning_of_text(text: str) -> Meaning | None:
    words = _NAMED.sub(" ", _LINE_CODE.sub(" ", text))
    for meaning, phrase in _COMPILED:
        if phrase.search(words):
            return meaning
    return None
