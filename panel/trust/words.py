"""The rules of trust in order, each with what the tenant chose for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from delivery.rule_words import question_of
from mail.policy.trust import OnQuarantine, OnScannerAway
from mail.policy.trust_rules import AUTHOR_RULES, CONTENT_RULES
from routing.services.trust import SCORING_SCANNERS, TrustChoice


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule: what it asks, what follows from a yes, and which setting that comes from."""

    question: str
    then: str
    setting: str
    link: str = ""
    """The name of the page where it is set."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How much there is of what rules look into."""

    allowed: int = 0
    blocked: int = 0
    sealers: int = 0


def author_lines(choice: TrustChoice, counted: Counted) -> list[RuleLine]:
    """Those that ask who wrote it."""
    return [_line(rule.__name__, choice, counted) for rule in AUTHOR_RULES]


def content_lines(choice: TrustChoice, counted: Counted) -> list[RuleLine]:
    """Those that ask what is in it."""
    return [_line(rule.__name__, choice, counted) for rule in CONTENT_RULES]


def scanners_here() -> tuple[str, ...]:
    """The scanners that give scores and run here."""
    return tuple(name for name in SCORING_SCANNERS if getattr(settings.ENV, name))


def scores_text(choice: TrustChoice, what: str) -> str:
    """From which score of each scanner on: `what` is the end of the choice's name."""
    said = [
        f"{SCORING_SCANNERS[one]} {_from(getattr(choice, f'{one}_{what}'))}"
        for one in scanners_here()
    ]
    return ", ".join(said) or "no scanner that gives scores runs here"


def _from(score: float | None) -> str:
    return "never" if score is None else f"from {score:g} on"


def _line(rule: str, choice: TrustChoice, counted: Counted) -> RuleLine:
    then, setting, link = _TELL[rule](choice, counted)
    return RuleLine(question_of(rule), then, setting, link)


_Told = tuple[str, str, str]
_ALWAYS: Final = "always"


def _unjudgeable(choice: TrustChoice, counted: Counted) -> _Told:
    return "It is refused (550): readers would see an author whom nobody checked.", _ALWAYS, ""


def _blocked(choice: TrustChoice, counted: Counted) -> _Told:
    return "It is refused (550).", f"{_entries(counted.blocked)}", "trust-lists"


def _allowed_client(choice: TrustChoice, counted: Counted) -> _Told:
    text = "It goes on, even against the will of the author’s domain. Viruses are still looked for."
    return text, _entries(counted.allowed), "trust-lists"


def _sealer(choice: TrustChoice, counted: Counted) -> _Told:
    text = (
        "It goes on, except where the author’s domain is served here and asks to refuse forgeries."
    )
    number = f"{counted.sealers} sealers" if counted.sealers != 1 else "1 sealer"
    return text, number if counted.sealers else "none trusted", "trust-sealers"


def _reject(choice: TrustChoice, counted: Counted) -> _Told:
    if choice.refuses_dmarc_reject:
        return "It is refused (550 5.7.26), as the author’s domain asks.", "refuse", "trust-change"
    text = "It is forwarded with the failure said in its header; most receivers refuse it then."
    return text, "forward", "trust-change"


def _unknown(choice: TrustChoice, counted: Counted) -> _Told:
    text = (
        "It is asked to come again later (451), where the answer would matter for the rules here."
    )
    return text, _ALWAYS, ""


def _allowed_author(choice: TrustChoice, counted: Counted) -> _Told:
    text = (
        "It goes on; scores do not count, viruses do. A name alone, which anybody can write, is not"
        " enough."
    )
    return text, _entries(counted.allowed), "trust-lists"


def _quarantine(choice: TrustChoice, counted: Counted) -> _Told:
    if choice.on_dmarc_quarantine is OnQuarantine.HOLD:
        return f"It is held for {_days(choice)}, for you to look at.", "hold", "trust-change"
    text = "It is forwarded untouched with the failure said in its header: the receiver decides."
    return text, "forward", "trust-change"


def _virus(choice: TrustChoice, counted: Counted) -> _Told:
    if choice.refuses_viruses:
        return "It is refused (550).", "refuse", "trust-change"
    return f"It is held for {_days(choice)}.", "hold", "trust-change"


def _refuses(choice: TrustChoice, counted: Counted) -> _Told:
    return "It is refused (550).", scores_text(choice, "refuse_from"), "trust-change"


def _away(choice: TrustChoice, counted: Counted) -> _Told:
    if choice.when_scanner_away is OnScannerAway.DEFER:
        return "The client is asked to come again later (451).", "wait", "trust-change"
    return "It goes on without that scanner.", "go on", "trust-change"


def _quarantines(choice: TrustChoice, counted: Counted) -> _Told:
    text = f"It is held for {_days(choice)}, for you to look at."
    return text, scores_text(choice, "quarantine_from"), "trust-change"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"


def _days(choice: TrustChoice) -> str:
    return "1 day" if choice.quarantine_days == 1 else f"{choice.quarantine_days} days"


_TELL: Final[dict[str, Callable[[TrustChoice, Counted], _Told]]] = {
    "unjudgeable_author": _unjudgeable,
    "blocked": _blocked,
    "allowed_client": _allowed_client,
    "trusted_sealer": _sealer,
    "dmarc_reject": _reject,
    "dmarc_unknown": _unknown,
    "allowed_author": _allowed_author,
    "dmarc_quarantine": _quarantine,
    "virus_found": _virus,
    "score_refuses": _refuses,
    "scanner_away": _away,
    "score_quarantines": _quarantines,
}
