"""Whether the author is told: the pure rules behind every DSN of ours.

    the sending loop, when a delivery failed or waits    FailureFacts -> judge_notice -> DsnDecision
    the edge, when a return came in                      ReturnFacts  -> judge_return -> DsnDecision

A rule returns the reason for which nobody is told, or None; the first reason wins. What is not told
is recorded and shown to the tenant all the same.

One DSN an hour to a reverse-path keeps strangers from harm, but it must not hide one recipient's
failure behind another's: recipients of a message that fail one after the other are told of in a DSN
each, which wait for one another an hour apart (`DsnDecision.held_back`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final, TypeVar

from mail.address import NULL_PATH
from mail.masking import Diagnosis, Meaning
from mail.plan import Direction

MAX_PER_REVERSE_PATH_AND_HOUR: Final = 1
MAX_PER_ROUTE_AND_DAY: Final = 20
# How long a DSN may wait for its hour; it is tried for a day only, and news of yesterday are none.
LONGEST_HELD_BACK: Final = timedelta(hours=6)
_NO_TIME: Final = timedelta()
# After DATA these still speak of the mailbox or the way to it; all else is about the content.
_NOT_ABOUT_CONTENT: Final = frozenset(
    {
        Meaning.NO_MAILBOX,
        Meaning.MAILBOX_DISABLED,
        Meaning.MAILBOX_FULL,
        Meaning.TOO_LARGE,
        Meaning.NO_SUCH_HOST,
        Meaning.LOOP,
    }
)


class NoticeKind(Enum):
    FAILURE = "failed"
    DELAY = "delayed"


class Reason(Enum):
    """Why a DSN goes, or does not."""

    TOLD = "told"
    TOLD_LATER = "told when the hour is over"
    NULL_REVERSE_PATH = "null reverse-path"
    OWN_NOTICE = "mail of our own"
    ALREADY_TOLD = "already told"
    UNAUTHENTICATED = "reverse-path not authenticated"
    CONTENT_REFUSED = "refused for content or policy"
    COURTESY_TO_MACHINE = "no courtesy mail to lists and machines"
    HOURLY_LIMIT = "told this reverse-path within the hour"
    DAILY_LIMIT = "told about this route too often today"
    NOT_A_FAILURE = "the return tells of no failure"
    AUTO_REPLY = "an automatic reply"
    NOT_PROVED = "nothing of ours in the return proves whose mail it was"
    NOT_MADE = "no DSN could be made"


@dataclass(frozen=True, slots=True)
class DsnDecision:
    """The decision and what it rests on. `held_back`: for how long the DSN waits."""

    send: bool
    reason: Reason
    held_back: timedelta = _NO_TIME


@dataclass(frozen=True, slots=True)
class Told:
    """What was told before: about this recipient, to this reverse-path, about this route.

    `about_recipient`: a notice of the same kind about this recipient of this message.
    `about_message`: any notice about this message. `reverse_path_free_in`: until an hour has passed
    since the last DSN to this reverse-path, also where that one itself still waits.
    """

    about_recipient: bool = False
    about_message: bool = False
    reverse_path_last_hour: int = 0
    reverse_path_free_in: timedelta = _NO_TIME
    route_last_day: int = 0


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """A delivery that failed for good or has waited for hours.

    `authenticated`: the reverse-path was shown to be genuine when we accepted (`reverse_path.py`).
    `after_data`: the refusal answered the content, not MAIL or RCPT. `to_machine`: the message came
    from a list, in bulk or from a machine (RFC 3834, 5; RFC 2919; Precedence).
    """

    kind: NoticeKind
    direction: Direction
    reverse_path: str
    authenticated: bool
    diagnosis: Diagnosis
    after_data: bool
    to_machine: bool
    told: Told = Told()


@dataclass(frozen=True, slots=True)
class ReturnFacts:
    """A return that came to one of our SRS addresses, `reverse_path` being the path behind it.

    `proved`: a mark of ours in it belongs to mail of that reverse-path; `authenticated` is that
    mark's word. `is_failure`: it reports a failure for good, not a delay or a success.
    """

    reverse_path: str
    is_failure: bool
    is_auto_reply: bool
    proved: bool
    authenticated: bool
    diagnosis: Diagnosis
    told: Told = Told()


def null_reverse_path(facts: FailureFacts | ReturnFacts) -> Reason | None:
    """RFC 5321, 6.1: never a notice about a notice."""
    return Reason.NULL_REVERSE_PATH if facts.reverse_path == NULL_PATH else None


def mail_of_our_own(facts: FailureFacts) -> Reason | None:
    """Our DSNs and account mail, and returns: what becomes of them is for the operator to see."""
    ours = facts.direction in (Direction.NOTICE, Direction.RETURN)
    return Reason.OWN_NOTICE if ours else None


def already_told(facts: FailureFacts | ReturnFacts) -> Reason | None:
    return Reason.ALREADY_TOLD if facts.told.about_recipient else None


def unauthenticated(facts: FailureFacts) -> Reason | None:
    """A forged reverse-path would make our DSN somebody's spam. Submission has shown who writes."""
    if facts.direction is Direction.SEND or facts.authenticated:
        return None
    return Reason.UNAUTHENTICATED


def refused_for_content(facts: FailureFacts) -> Reason | None:
    """What a next hop takes for spam must not become a DSN to whoever is named in it."""
    if facts.direction is Direction.SEND or not facts.diagnosis.is_permanent:
        return None
    about_content = facts.after_data and facts.diagnosis.meaning not in _NOT_ABOUT_CONTENT
    return Reason.CONTENT_REFUSED if facts.diagnosis.is_policy or about_content else None


def courtesy_to_machine(facts: FailureFacts) -> Reason | None:
    """RFC 3834: a delay is courtesy; of a failure lists must hear too, they are kept by it."""
    courtesy = facts.kind is NoticeKind.DELAY and facts.to_machine
    return Reason.COURTESY_TO_MACHINE if courtesy else None


def hourly_limit(facts: FailureFacts | ReturnFacts) -> Reason | None:
    over = facts.told.reverse_path_last_hour >= MAX_PER_REVERSE_PATH_AND_HOUR
    return Reason.HOURLY_LIMIT if over and not _may_wait(facts) else None


def _may_wait(facts: FailureFacts | ReturnFacts) -> bool:
    """Whether this is one more failure of a message whose author was told of another one."""
    if isinstance(facts, FailureFacts) and facts.kind is NoticeKind.DELAY:
        return False
    return facts.told.about_message and facts.told.reverse_path_free_in <= LONGEST_HELD_BACK


def daily_limit(facts: FailureFacts | ReturnFacts) -> Reason | None:
    return Reason.DAILY_LIMIT if facts.told.route_last_day >= MAX_PER_ROUTE_AND_DAY else None


def limits_of_forwarding(facts: FailureFacts) -> Reason | None:
    """Who submits his own mail hears of each failure: the limits keep strangers from harm."""
    return None if facts.direction is Direction.SEND else hourly_limit(facts) or daily_limit(facts)


def automatic_reply(facts: ReturnFacts) -> Reason | None:
    """A vacation reply or a challenge names the private destination in each line."""
    return Reason.AUTO_REPLY if facts.is_auto_reply else None


def no_failure(facts: ReturnFacts) -> Reason | None:
    return None if facts.is_failure else Reason.NOT_A_FAILURE


def not_proved(facts: ReturnFacts) -> Reason | None:
    """Anyone who ever got forwarded mail knows an SRS address: alone it proves nothing."""
    return None if facts.proved else Reason.NOT_PROVED


def returned_unauthenticated(facts: ReturnFacts) -> Reason | None:
    return None if facts.authenticated else Reason.UNAUTHENTICATED


def returned_for_content(facts: ReturnFacts) -> Reason | None:
    return Reason.CONTENT_REFUSED if facts.diagnosis.is_policy else None


NOTICE_RULES: Final[tuple[Callable[[FailureFacts], Reason | None], ...]] = (
    null_reverse_path,
    mail_of_our_own,
    already_told,
    unauthenticated,
    refused_for_content,
    courtesy_to_machine,
    limits_of_forwarding,
)

RETURN_RULES: Final[tuple[Callable[[ReturnFacts], Reason | None], ...]] = (
    null_reverse_path,
    automatic_reply,
    no_failure,
    not_proved,
    returned_unauthenticated,
    returned_for_content,
    already_told,
    hourly_limit,
    daily_limit,
)

_Facts = TypeVar("_Facts")


def judge_notice(facts: FailureFacts) -> DsnDecision:
    """Whether the author hears of a delivery that failed or waits."""
    decision = _judge(facts, NOTICE_RULES)
    return decision if facts.direction is Direction.SEND else _in_its_hour(decision, facts.told)


def judge_return(facts: ReturnFacts) -> DsnDecision:
    """Whether a return becomes a DSN of ours to the original reverse-path."""
    return _in_its_hour(_judge(facts, RETURN_RULES), facts.told)


def _in_its_hour(decision: DsnDecision, told: Told) -> DsnDecision:
    """The same; a DSN that comes within the hour of another one waits until it is over."""
    if not decision.send or told.reverse_path_last_hour < MAX_PER_REVERSE_PATH_AND_HOUR:
        return decision
    return DsnDecision(True, Reason.TOLD_LATER, told.reverse_path_free_in)


def _judge(facts: _Facts, rules: tuple[Callable[[_Facts], Reason | None], ...]) -> DsnDecision:
    for rule in rules:
        reason = rule(facts)
        if reason is not None:
            return DsnDecision(False, reason)
    return DsnDecision(True, Reason.TOLD)
