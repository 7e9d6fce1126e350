"""Whether we take a message: the whole policy of DATA, in order.

Called by smtp_edge when the header block is there, before a large body is stored. Facts come from
the header block only; nothing is unpacked.
"""

from collections.abc import Callable
from typing import Final

from mail.address import is_within
from mail.facts import MessageFacts
from mail.reply import Reply
from mail.verdict import Judgement, Verdict, judge

MAX_HEADER_OCTETS: Final = 100_000
MAX_RECEIVED_FIELDS: Final = 50

_ACCEPTED = Reply(250, (0, 0), "Ok")

Rule = Callable[[MessageFacts], Verdict | None]


def header_too_large(facts: MessageFacts) -> Verdict | None:
    if facts.header_octets > MAX_HEADER_OCTETS:
        return Verdict(
            Reply(552, (3, 4), "Header of the message is too large"),
            f"header block above {MAX_HEADER_OCTETS} octets",
        )
    return None


def continuation_first(facts: MessageFacts) -> Verdict | None:
    """A first line that begins with white space would become part of our Received field."""
    if facts.begins_folded:
        return Verdict(
            Reply(550, (6, 0), "Message begins with a folded line"),
            "first line is a continuation",
        )
    return None


def unreadable_author(facts: MessageFacts) -> Verdict | None:
    """More names than anyone would read: made to hide one of them."""
    if facts.author_domains is None:
        return Verdict(Reply(550, (6, 0), "Author fields cannot be read"), "too many authors")
    return None


def forged_author(facts: MessageFacts) -> Verdict | None:
    """Nobody outside writes as one of our own names: our signature would vouch for him."""
    for author in facts.author_domains or ():
        for own in facts.own_domains:
            if is_within(author, own):
                return Verdict(
                    Reply(550, (7, 1), "Author not permitted from outside"),
                    f"author in our own name {own}",
                )
    return None


def too_many_hops(facts: MessageFacts) -> Verdict | None:
    if facts.received_count > MAX_RECEIVED_FIELDS:
        return Verdict(
            Reply(554, (4, 6), "Too many hops, this is a mail loop"),
            f"more than {MAX_RECEIVED_FIELDS} Received fields",
        )
    return None


def route_loop(facts: MessageFacts) -> Verdict | None:
    if facts.carries_our_marker:
        return Verdict(
            Reply(554, (4, 6), "Mail loop: this message was forwarded from here before"),
            "carries the marker of its route",
        )
    return None


def return_from_a_person(facts: MessageFacts) -> Verdict | None:
    """Return addresses take bounces, auto-replies and reports, not letters."""
    if facts.has_return_recipient and facts.reverse_path and not facts.is_automatic:
        return Verdict(
            Reply(550, (7, 1), "This address takes returned mail only"),
            "return address, but neither null reverse-path nor automatic",
        )
    return None


MESSAGE_RULES: Final[tuple[Rule, ...]] = (
    header_too_large,  # 552 5.3.4
    continuation_first,  # 550 5.6.0
    unreadable_author,  # 550 5.6.0
    forged_author,  # never launder a forgery: 550 5.7.1
    too_many_hops,  # 554 5.4.6
    route_loop,  # 554 5.4.6
    return_from_a_person,  # 550 5.7.1
)


def judge_message(facts: MessageFacts) -> Judgement:
    """What the final dot answers unless keeping fails, with the trail of rules asked."""
    return judge(facts, MESSAGE_RULES, Verdict(_ACCEPTED, "no rule against it"))
