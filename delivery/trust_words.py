"""What was found about who wrote a message, and what is in it, in sentences for people.

The findings are those of the log (`Event.found`); names and remarks in them are strangers'.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from delivery.rule_words import ACCEPT, question_of
from mail.policy.trust import Action
from mail.policy.trust_findings import split_remark, verdict_of
from mail.trace import printable

_LONGEST: Final = 255
_GOOD, _BAD, _PLAIN, _WARN = "good", "bad", "plain", "warn"
ACTIONS: Final = {
    Action.ACCEPT: "taken",
    Action.QUARANTINE: "held",
    Action.REFUSE: "refused",
    Action.DEFER: "deferred",
}
TONES: Final = {
    Action.ACCEPT: _GOOD,
    Action.QUARANTINE: _WARN,
    Action.REFUSE: _BAD,
    Action.DEFER: _WARN,
}


@dataclass(frozen=True, slots=True)
class FoundLine:
    """One thing that was looked at: its name, the result in one word, and what that means."""

    what: str
    result: str
    tone: str
    text: str


def found_lines(found: Iterable[Sequence[str]]) -> list[FoundLine]:
    """Everything that was found, in the order in which it was looked at."""
    return list(_lines([(pair[0], pair[1]) for pair in found if len(pair) == 2]))


def decided_text(found: Iterable[Sequence[str]]) -> str:
    """Which rule decided, and why; "" where nothing is logged of it."""
    verdict = verdict_of(found)
    if verdict is None:
        return ""
    done = ACTIONS[verdict.action]
    if verdict.rule == ACCEPT:
        return f"No rule of trust was against it: {done}."
    why = f" ({printable(verdict.reason, _LONGEST)})" if verdict.reason else ""
    return f"“{question_of(verdict.rule)}” Yes: {done}{why}."


def _lines(pairs: Sequence[tuple[str, str]]) -> Iterator[FoundLine]:
    is_signed = any(word == "dkim" for word, _ in pairs)
    for word, value in pairs:
        if word == "dmarc" and not is_signed:
            yield FoundLine("DKIM", "none", _PLAIN, _DKIM_TEXTS["none"])
        words, remark = split_remark(printable(value, 1000))
        told = _TELL.get(word)
        if told is not None and words:
            line = told([*words, *[""] * 7])
            yield _with_remark(line, remark) if line.tone != _GOOD else line


def _with_remark(line: FoundLine, remark: str) -> FoundLine:
    text = f"{line.text} The reason: {remark}." if remark else line.text
    return FoundLine(line.what, line.result, line.tone, text)


def _client(words: list[str]) -> FoundLine:
    result, name = words[:2]
    if result == "pass":
        text = f"The client's address and the name {name} lead to each other."
        return FoundLine("Reverse DNS", result, _GOOD, text if name else "They agree.")
    text = {
        "permerror": "The client's address has no name.",
        "temperror": "DNS did not answer.",
    }.get(result, "The name of the client's address does not lead back to it.")
    return FoundLine("Reverse DNS", result, _WARN, text)


_SPF_TEXTS: Final = {
    "pass": "The client may use {}.",
    "fail": "The client may not use {}. Forwarding alone does that, so nothing is refused for it.",
    "softfail": "The client probably may not use {}.",
    "neutral": "{} says nothing about this client.",
    "none": "{} says nothing about who may use it.",
    "temperror": "DNS did not answer for {}.",
    "permerror": "The record of {} is broken.",
}


def _spf(what: str, words: list[str]) -> FoundLine:
    result, domain = words[:2]
    tone = {"pass": _GOOD, "fail": _WARN, "softfail": _WARN}.get(result, _PLAIN)
    if not domain:
        return FoundLine(what, result, tone, "There is no domain to ask.")
    return FoundLine(what, result, tone, _SPF_TEXTS.get(result, "{}").format(domain))


_DKIM_TEXTS: Final = {
    "pass": "Signed by {}, and unchanged since.",
    "fail": "The signature of {} does not fit: something was changed on the way, or it is forged.",
    "neutral": "Signed by {}, but not in a way that proves anything.",
    "policy": "Signed by {} in a way too weak to count.",
    "temperror": "DNS did not answer for the key of {}.",
    "permerror": "The signature or key of {} is broken.",
    "none": "Not signed.",
}


def _dkim(words: list[str]) -> FoundLine:
    result, domain, _, tested = words[:4]
    text = _DKIM_TEXTS.get(result, "{}").format(domain or "nobody that can be read")
    if tested == "testing":
        text += " Its owner is only testing the key."
    tone = {"pass": _GOOD, "fail": _WARN, "policy": _WARN}.get(result, _PLAIN)
    return FoundLine("DKIM", result, tone, text)


def _dmarc(words: list[str]) -> FoundLine:
    result, author, policy, policy_domain, _, aligned, _ = words[:7]
    asks = f"{policy_domain or author} asks for {policy or 'none'}"
    if result == "pass":
        by = aligned.upper().replace(",", " and ")
        text = f"{author} is shown to be the author's own domain{f', by {by}' if by else ''}."
        return FoundLine("DMARC", result, _GOOD, text)
    texts = {
        "fail": f"Nothing shows that it comes from {author}, and {asks}.",
        "none": f"{author or 'The author’s domain'} has no policy.",
        "temperror": f"DNS did not answer for {author}.",
        "permerror": "The From field cannot be judged.",
    }
    tone = _BAD if result == "fail" and policy == "reject" else _WARN
    return FoundLine("DMARC", result, _PLAIN if result == "none" else tone, texts.get(result, ""))


def _arc(words: list[str]) -> FoundLine:
    texts = {
        "none": "No forwarder before us sealed it.",
        "pass": "The seals of the forwarders before us are whole.",
        "fail": "The seals of the forwarders before us are broken, and count for nothing.",
        "temperror": "DNS did not answer for a key of the seals.",
    }
    tone = {"pass": _GOOD, "fail": _WARN}.get(words[0], _PLAIN)
    return FoundLine("ARC", words[0], tone, texts.get(words[0], ""))


def _seal(words: list[str]) -> FoundLine:
    number, sealer, said = words[:3]
    text = f"{sealer or 'Somebody'} sealed it"
    if said:
        text += ", and says that DMARC passed there"
    return FoundLine(f"Seal {number}", "", _PLAIN, f"{text}. Anybody can say so.")


def _scan(words: list[str]) -> FoundLine:
    scanner, outcome, score, threshold, names = words[:5]
    found = f": {names.replace(',', ', ')}" if names else ""
    texts = {
        "clean": f"Gave {score} points; from {threshold} on it calls mail spam{found}.",
        "spam": f"Gave {score} points, and calls it spam from {threshold} on{found}.",
        "virus": f"Found a virus{found}.",
        "failed": "Did not answer.",
        "skipped": "Was not asked: the message is too large for it.",
    }
    tone = {"clean": _GOOD, "virus": _BAD, "spam": _WARN, "failed": _WARN}.get(outcome, _PLAIN)
    has_points = outcome not in ("clean", "spam") or threshold not in ("", "0")
    text = texts.get(outcome, "") if has_points else "Found nothing."
    return FoundLine(scanner, outcome, tone, text)


def _spf_of_path(words: list[str]) -> FoundLine:
    return _spf("SPF", words)


def _spf_of_helo(words: list[str]) -> FoundLine:
    return _spf("SPF (HELO)", words)


_TELL: Final[dict[str, Callable[[list[str]], FoundLine]]] = {
    "client": _client,
    "helo": _spf_of_helo,
    "spf": _spf_of_path,
    "dkim": _dkim,
    "dmarc": _dmarc,
    "arc": _arc,
    "seal": _seal,
    "scan": _scan,
}
