"""What an installation may add of its own: checks, which look at a message, and rules, which judge.

| | a check | a rule |
|---|---|---|
| named in | MXAX_CHECKS: a class without arguments | MXAX_RULES: a function |
| asked | once a message | once a recipient, after our own rules |
| gets | `CheckFacts` | `TrustFacts`: with the tenant's policy, author, recipient |
| may | wait: for the network, a file, a database | only compute: the same answer each time |
| gives | `CheckOpinion` or None | `Opinion` or None |

Either can only add to what our rules say: no opinion of theirs lets in what these refuse. The first
opinion wins, rules before checks, each in the order of the setting. docs/extending.md has an
example of both; smtp_edge/extensions.py runs them, with limits around them.
"""

import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mail.authentication.values import Authentication
from mail.envelope import Envelope
from mail.message import Field
from mail.policy.trust import Action, TrustFacts
from mail.policy.trust_rules import Opinion, Rule
from mail.reply import Reply
from mail.scanning import ScanResult

OPENING_OCTETS: Final = 256 * 1024
MOST_FIELDS: Final = 20
_FIELD_NAME: Final = re.compile(r"X-(?!Mxax-)[A-Za-z0-9-]{1,60}", re.IGNORECASE)
_FIELD_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,898}[!-~])?")
_TEXT: Final = re.compile(r"[ -~]{1,200}")


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """One message before the reply to its final dot.

    `recipients` are those that were accepted, as the client wrote them. `fields` is the header
    block from the top: `name` in lower case, `value` unfolded, both octets as they came. `octets`
    are the first 256 KiB of the message for a check that wants them, else empty.
    """

    envelope: Envelope
    recipients: tuple[str, ...]
    fields: tuple[Field, ...]
    authentication: Authentication | None = None
    """None where verification is switched off."""
    scans: tuple[ScanResult, ...] = ()
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class CheckOpinion:
    """What a check wants for all recipients; with ACCEPT only its fields count.

    `reason` is shown to the tenant, `text` to the client behind `550 5.7.1` or `451 4.7.1`, both
    printable ASCII of 200 characters at most. `fields` are twenty pairs of name and value at most:
    names begin with X-, values are printable ASCII in one line.
    """

    action: Action
    reason: str = ""
    text: str = ""
    fields: tuple[tuple[str, str], ...] = ()


class Check(Protocol):
    """A class to inherit from or to look like. One object serves all messages of a process.

    `check` may be a coroutine, which must not block, or an ordinary method, which runs in a thread
    of its own, several at the same time. After `seconds` nobody waits for it any more; what is late
    or raises has no opinion, or defers the message when `required` is set.
    """

    required: bool = False
    wants_octets: bool = False
    seconds: float = 2.0
    """Up to 10."""

    def check(self, facts: CheckFacts) -> CheckOpinion | Awaitable[CheckOpinion | None] | None:
        """What follows from this message; None: nothing."""
        ...


class OwnRule(Protocol):
    """A pure function; its name is what the trail on the message's page shows."""

    __name__: str

    def __call__(self, facts: TrustFacts) -> Opinion | None: ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The opinion of one check on one message, found to be well formed."""

    name: str
    opinion: CheckOpinion


def fault_of(opinion: object) -> str:
    """What is wrong with a check's answer; "" when it can be used."""
    if not isinstance(opinion, CheckOpinion) or not isinstance(opinion.action, Action):
        return "gives no CheckOpinion"
    for text in (opinion.reason, opinion.text):
        if text and not fits_one_line(text):
            return "gives a text that is not printable ASCII of 200 characters at most"
    if opinion.action is not Action.ACCEPT and not opinion.reason:
        return "gives no reason"
    if not isinstance(opinion.fields, tuple | list) or len(opinion.fields) > MOST_FIELDS:
        return f"gives fields that are no tuple of {MOST_FIELDS} at most"
    for pair in opinion.fields:
        name, value = pair if isinstance(pair, tuple) and len(pair) == 2 else ("", "")
        if not (_matches(_FIELD_NAME, name) and _matches(_FIELD_VALUE, value)):
            return "gives a field that may not be added"
    return ""


def fits_one_line(text: object) -> bool:
    """Whether it is printable ASCII of one to 200 characters: fit for a reply and for the log."""
    return _matches(_TEXT, text)


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def rules_of(results: Sequence[CheckResult]) -> tuple[Rule, ...]:
    """One rule for each opinion, so that the trail names the check."""
    return tuple(_rule_of(one) for one in results if one.opinion.action is not Action.ACCEPT)


def _rule_of(result: CheckResult) -> Rule:
    opinion = Opinion(result.opinion.action, result.opinion.reason, _reply(result.opinion))

    def rule(facts: TrustFacts) -> Opinion | None:
        return opinion

    rule.__name__ = result.name
    return rule


def _reply(opinion: CheckOpinion) -> Reply | None:
    if opinion.action is Action.REFUSE:
        return Reply(550, (7, 1), opinion.text or "Message refused for reasons of policy")
    if opinion.action is Action.DEFER:
        text = opinion.text or "Message cannot be checked at the moment, try again later"
        return Reply(451, (7, 1), text)
    return None


def check_fields(results: Sequence[CheckResult]) -> str:
    """The fields that checks add, CRLF-ended, ASCII."""
    return "".join(
        f"{name}: {_folded(value)}\r\n" for one in results for name, value in one.opinion.fields
    )


def _folded(value: str) -> str:
    """Folded at blanks where it is long (RFC 5322, 2.1.1); a line begins with a word."""
    lines, line = [], ""
    for word in value.split(" "):
        if line and word and len(line) + len(word) > 60:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
    return "\r\n\t".join([*lines, line])
