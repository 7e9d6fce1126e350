"""The rules of all policies in plain words: what each of them asks.

A rule that is asked and says nothing answers no; the last one of a policy that was asked decided.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from mail.policy.trust_rules import AUTHOR_RULES, CONTENT_RULES

QUESTIONS: Final = {
    "source_route_or_literal": "Is it a form of address that could only be relayed?",
    "unknown_domain": "Is the domain unknown here?",
    "routed_local_part": "Does the address ask to be relayed somewhere else?",
    "returned_mail": "Is it a return address of ours?",
    "own_mailbox": "Is it a mailbox of the service itself?",
    "unverified_domain": "Is the domain still to be proved?",
    "fading_domain": "Has the proof of the domain been lost?",
    "reserved_mailbox": "Is it postmaster or abuse, without a route of its own?",
    "suspended_tenant": "Is the tenant suspended?",
    "over_rate": "Is the limit of today reached?",
    "unknown_address": "Is there no route for this address?",
    "paused_route": "Is the route paused?",
    "unconfirmed_destination": "Is none of the destinations confirmed?",
    "header_too_large": "Is the header too large?",
    "continuation_first": "Does the message begin in the middle of a header field?",
    "unreadable_author": "Are there more authors than anyone would read?",
    "forged_author": "Does it claim to be written by the service itself?",
    "too_many_hops": "Has it passed through too many systems?",
    "route_loop": "Has it been over this route before?",
    "return_from_a_person": "Is it a letter to an address that takes returned mail only?",
    "unjudgeable_author": "Can nobody tell the author's domain from the From field?",
    "blocked": "Is the author, the reverse-path or the client on your block list?",
    "allowed_client": "Is the client on your allow list?",
    "trusted_sealer": "Does DMARC fail here, but did it pass at a forwarder whose seals you trust?",
    "dmarc_reject": "Does DMARC fail, and does the author's domain ask to refuse such mail?",
    "dmarc_unknown": "Does DNS not say what the author's domain asks for?",
    "allowed_author": "Is the author or the reverse-path on your allow list, and genuine?",
    "dmarc_quarantine": "Does DMARC fail, and does the author's domain ask to quarantine it?",
    "virus_found": "Did a scanner find a virus?",
    "score_refuses": "Is a scanner's score so high that you refuse such mail?",
    "scanner_away": "Does a scanner not answer, and do you wait for it?",
    "score_quarantines": "Is a scanner's score so high that you want to look at such mail?",
    "held_mail_full": "Is so much mail held already that there is no room for more?",
    "too_many_connections": "Has the client too many connections open?",
    "too_often": "Did the client connect too often in a minute?",
    "too_many_messages": "Did the client send too many messages in a minute?",
    "too_many_refused": "Did the client try too many recipients that do not exist?",
    "too_many_guesses": "Did the client guess return addresses?",
    "early_talker": "Did the client speak before it was its turn?",
    "listed_client": "Is the client on a list of senders of spam?",
    "busy_recipient": "Does the route or the tenant get too much mail at the moment?",
    "greylisted": "Is it the first time that this client writes so, and was it told to come back?",
}
ACCEPT: Final = "accept"
_FIRST_OF_TRUST: Final = frozenset({AUTHOR_RULES[0].__name__, CONTENT_RULES[0].__name__})


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and whether its answer decided."""

    question: str
    decided: bool


def asked_rules(trail: Sequence[str], *, first_of_message: str) -> Iterator[Asked]:
    """The questions of a trail in order; `first_of_message` is where the second policy begins.

    Those of trust begin where everybody knows.
    """
    firsts = {first_of_message, *_FIRST_OF_TRUST}
    for name, following in zip_longest(trail, trail[1:]):
        if name != ACCEPT:
            decided = following is None or following in firsts
            yield Asked(QUESTIONS.get(name, name.replace("_", " ")), decided)


def question_of(rule: str) -> str:
    """What a rule asks; its name where nobody wrote it down."""
    return QUESTIONS.get(rule, rule.replace("_", " "))


def unknown_rules(names: Iterable[str]) -> list[str]:
    """Rules without words."""
    return [name for name in names if name not in QUESTIONS]
