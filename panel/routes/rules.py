"""The rules that a judgement asked, as questions with their answers."""

from dataclasses import dataclass

from delivery.rule_words import ACCEPT, question_of
from mail.verdict import Judgement


@dataclass(frozen=True, slots=True)
class Asked:
    """One rule; `decided` is the one after which none was asked any more."""

    name: str
    words: str
    decided: bool
    tone: str = ""


def asked_of(judgement: Judgement) -> list[Asked]:
    """Every rule that was asked, in order."""
    return [_asked(name, judgement) for name in judgement.trail]


def _asked(name: str, judgement: Judgement) -> Asked:
    words = "Nothing is against it." if name == ACCEPT else question_of(name)
    if name != judgement.rule:
        return Asked(name, words, decided=False)
    reply = judgement.reply
    tone = "good" if reply.is_positive else "bad" if reply.is_permanent else "warn"
    return Asked(name, words, decided=True, tone=tone)
