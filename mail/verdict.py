"""What a policy decides: a verdict of one rule, and the judgement with the trail of rules asked.

A policy is a tuple of plain functions from facts to a `Verdict` or None; the first opinion wins.
The trail answers "why was my mail refused?": it names every rule asked, in order, the last being
the one that decided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mail.reply import Reply

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule's opinion: the public reply (vague) and the private reason (exact)."""

    reply: Reply
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome of a policy: `rule` decided; `trail` is every rule asked, in order."""

    reply: Reply
    rule: str
    reason: str
    trail: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        return self.reply.is_positive


def judge(
    facts: Facts, rules: Sequence[Callable[[Facts], Verdict | None]], otherwise: Verdict
) -> Judgement:
    """Ask the rules in order; the first opinion wins, else `otherwise` (rule name `accept`)."""
    asked: list[str] = []
    for rule in rules:
        name = rule.__name__
        asked.append(name)
        verdict = rule(facts)
        if verdict is not None:
            return Judgement(verdict.reply, name, verdict.reason, tuple(asked))
    asked.append("accept")
    return Judgement(otherwise.reply, "accept", otherwise.reason, tuple(asked))
