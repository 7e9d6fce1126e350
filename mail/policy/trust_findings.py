"""What was found about a message, small enough for the tenant's log, and back again as facts.

The log keeps pairs of a word and a value. A value is words in a fixed order ("-" where there is
none), and what a person may like to know behind ` | `; that part may hold an address, so that
levels which hide addresses cut it off (`as_hashed`).

    spf      pass author.example
    dkim     fail author.example s2026 | body hash does not match
    dmarc    fail author.example reject author.example author.example - | no aligned pass
    seal     1 lists.example dmarc=pass
    verdict  refuse dmarc_reject | DMARC fails for author.example, whose policy is reject

Addresses are not in it: reverse-path and author have fields of their own in the event.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias, TypeVar

from mail.authentication.results_field import read_results
from mail.authentication.values import (
    ArcResult,
    ArcSet,
    ArcVerdict,
    Authentication,
    ClientName,
    ClientNameResult,
    DkimResult,
    DkimSignature,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)
from mail.policy.trust import Action, TrustFacts, TrustJudgement, TrustPolicy
from mail.policy.trust_lists import domain_of
from mail.scanning import ScanOutcome, ScanResult

Found: TypeAlias = tuple[tuple[str, str], ...]
ResultT = TypeVar("ResultT", bound=Enum)

_REMARK: Final = " | "
_NONE: Final = "-"
_LONGEST_WORD: Final = 255
_LONGEST_REMARK: Final = 200
_MOST_DOMAINS: Final = 10
_MOST_SIGNATURES: Final = 10
_MOST_SEALS: Final = 10
_MOST_SCANS: Final = 8
_MOST_NAMES: Final = 10
_NAMES_OF_CLIENTS: Final = frozenset({"client", "helo"})
_ACTIONS: Final = frozenset(one.value for one in Action)
_SAID_PASS: Final = "dmarc=pass"  # noqa: S105 - a result, no password


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log has of a message in fields of its own, as far as it may be read again."""

    at: datetime
    client_ip: str
    reverse_path: str
    author: str
    recipient_domain: str
    route_id: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedVerdict:
    """What was decided when the message came."""

    action: Action
    rule: str
    reason: str


def found_of(facts: TrustFacts, judgement: TrustJudgement) -> Found:
    """What the log keeps of one message, judged for one recipient."""
    senders = dict.fromkeys(filter(None, map(domain_of, facts.author_addresses)))
    pairs = [
        ("verdict", _value(judgement.action.value, judgement.rule, remark=judgement.reason)),
        ("from", _value(str(facts.from_count), *list(senders)[:_MOST_DOMAINS])),
        ("names", _value(*facts.author_domains[:_MOST_DOMAINS])),
    ]
    if facts.author_is_hosted:
        pairs.append(("hosted", "yes"))
    if facts.authentication is not None:
        pairs += _authentication(facts.authentication)
    return (*pairs, *(("scan", _scan(one)) for one in facts.scans[:_MOST_SCANS]))


def facts_of(found: Iterable[Sequence[str]], logged: Logged, policy: TrustPolicy) -> TrustFacts:
    """The facts as the rules need them; what a later version wrote besides is passed over."""
    said = _Said.of(found)
    count, *senders = said.words("from", least=1)
    return TrustFacts(
        policy=policy,
        authentication=_read_authentication(said, logged),
        client_ip=logged.client_ip,
        reverse_path=logged.reverse_path,
        author_addresses=_addresses(logged.author, list(filter(None, senders))),
        author_domains=tuple(filter(None, said.words("names"))),
        from_count=int(count) if count.isdigit() else 1,
        recipient_domain=logged.recipient_domain,
        route_id=logged.route_id,
        now=logged.at,
        author_is_hosted=bool(said.words("hosted")),
        scans=tuple(map(_read_scan, said.all("scan"))),
    )


def verdict_of(found: Iterable[Sequence[str]]) -> LoggedVerdict | None:
    """What was decided; None where nothing is logged of it."""
    value = next((pair[1] for pair in found if len(pair) == 2 and pair[0] == "verdict"), "")
    words, remark = split_remark(value)
    if len(words) < 2 or words[0] not in _ACTIONS:
        return None
    return LoggedVerdict(Action(words[0]), words[1], remark)


def as_hashed(found: Iterable[tuple[str, str]]) -> Found:
    """The same without what may hold an address, and without the names of clients."""
    bare = ((word, value.partition(_REMARK)[0]) for word, value in found)
    return tuple(
        (word, value.partition(" ")[0] if word in _NAMES_OF_CLIENTS else value)
        for word, value in bare
    )


def split_remark(value: str) -> tuple[list[str], str]:
    """The words of a value, "" for those that are not there, and its remark."""
    words, _, remark = value.partition(_REMARK)
    return [("" if word == _NONE else word) for word in words.split()], remark


def _authentication(found: Authentication) -> Iterator[tuple[str, str]]:
    yield "client", _value(found.client_name.result.value, found.client_name.name)
    for word, check in (("helo", found.spf.helo), ("spf", found.spf.mail_from)):
        yield word, _value(check.result.value, check.domain, remark=check.reason)
    for one in found.dkim[:_MOST_SIGNATURES]:
        tested = "testing" if one.is_testing else ""
        yield "dkim", _value(one.result.value, one.domain, one.selector, tested, remark=one.reason)
    dmarc = found.dmarc
    names = (dmarc.author_domain, dmarc.policy.value, dmarc.policy_domain)
    aligned = ",".join(dmarc.aligned_by)
    yield (
        "dmarc",
        _value(
            *(dmarc.result.value, *names, dmarc.organizational_domain, aligned),
            "testing" if dmarc.is_testing else "",
            remark=dmarc.reason,
        ),
    )
    yield "arc", _value(found.arc.result.value, remark=found.arc.reason)
    for seal in found.arc.sets[-_MOST_SEALS:]:
        said = _passed(seal.results, dmarc.author_domain)
        yield "seal", _value(str(seal.instance), seal.sealer, _SAID_PASS if said else "")


@lru_cache(maxsize=32)
def _passed(results: str, author_domain: str) -> bool:
    """Read once for all tenants that get the message: a sealer may write a lot."""
    return read_results(results).dmarc_passed(author_domain)


def _scan(one: ScanResult) -> str:
    names = ",".join(one.names[:_MOST_NAMES])
    numbers = (f"{one.score:g}", f"{one.threshold:g}")
    return _value(one.scanner, one.outcome.value, *numbers, names, remark=one.reason)


def _value(*words: str, remark: str = "") -> str:
    """White space would make two words of one, and the bar a remark."""
    said = " ".join(
        "".join(word.split()).replace("|", "")[:_LONGEST_WORD] or _NONE for word in words
    )
    return f"{said}{_REMARK}{' '.join(remark.split())[:_LONGEST_REMARK]}" if remark else said


@dataclass(frozen=True, slots=True)
class _Said:
    """The pairs, to be asked by word: each value's words and its remark."""

    values: Mapping[str, list[tuple[list[str], str]]]

    @classmethod
    def of(cls, found: Iterable[Sequence[str]]) -> "_Said":
        values: dict[str, list[tuple[list[str], str]]] = {}
        for pair in found:
            if len(pair) == 2:
                values.setdefault(pair[0], []).append(split_remark(pair[1]))
        return cls(values)

    def all(self, word: str) -> list[list[str]]:
        return [words for words, _ in self.values.get(word, ())]

    def words(self, word: str, least: int = 0) -> list[str]:
        """Those of the first pair, filled up to so many."""
        first = self.values[word][0][0] if word in self.values else []
        return first + [""] * (least - len(first))

    def remark(self, word: str) -> str:
        return self.values[word][0][1] if word in self.values else ""


def _read_authentication(said: _Said, logged: Logged) -> Authentication | None:
    if not said.all("dmarc"):
        return None
    client, client_name = said.words("client", least=2)[:2]
    return Authentication(
        client_ip=logged.client_ip,
        helo="",
        reverse_path=logged.reverse_path,
        client_name=ClientName(_one_of(ClientNameResult, client), client_name),
        spf=SpfVerdict(helo=_read_check(said, "helo"), mail_from=_read_check(said, "spf")),
        dkim=tuple(map(_read_signature, said.all("dkim"))),
        arc=_read_chain(said),
        dmarc=_read_dmarc(said),
    )


def _read_check(said: _Said, word: str) -> SpfCheck:
    result, domain = said.words(word, least=2)[:2]
    return SpfCheck(_one_of(SpfResult, result), domain, said.remark(word))


def _read_signature(words: list[str]) -> DkimSignature:
    result, domain, selector, tested = (words + [""] * 4)[:4]
    return DkimSignature(
        _one_of(DkimResult, result), domain, selector, is_testing=tested == "testing"
    )


def _read_dmarc(said: _Said) -> DmarcVerdict:
    words = said.words("dmarc", least=7)
    result, author, policy, policy_domain, organizational, aligned, tested = words[:7]
    return DmarcVerdict(
        result=_one_of(DmarcResult, result),
        author_domain=author,
        policy=_one_of(DmarcPolicy, policy),
        policy_domain=policy_domain,
        organizational_domain=organizational,
        aligned_by=tuple(filter(None, aligned.split(","))),
        is_testing=tested == "testing",
        reason=said.remark("dmarc"),
    )


def _read_chain(said: _Said) -> ArcVerdict:
    """The results as one line that says what the sealer's did about this author."""
    author = said.words("dmarc", least=2)[1]
    sets = tuple(
        ArcSet(int(number), sealer, "", f"{sealer}; {word} header.from={author}" if word else "")
        for number, sealer, word in ((one + [""] * 3)[:3] for one in said.all("seal"))
        if number.isdigit()
    )
    result = _one_of(ArcResult, said.words("arc", least=1)[0])
    highest = max((one.instance for one in sets), default=0)
    return ArcVerdict(result, sets, said.remark("arc"), highest)


def _read_scan(words: list[str]) -> ScanResult:
    scanner, outcome, score, threshold, names = (words + [""] * 5)[:5]
    return ScanResult(
        scanner=scanner,
        outcome=_one_of(ScanOutcome, outcome),
        score=_number(score),
        threshold=_number(threshold),
        names=tuple(filter(None, names.split(","))),
    )


def _addresses(author: str, domains: list[str]) -> tuple[str, ...]:
    """The author's address, and `@domain` for the others of whom only that is known."""
    known = domain_of(author)
    others = tuple(f"@{one}" for one in domains if one != known)
    return (author, *others) if known else others


def _one_of(kind: type[ResultT], word: str) -> ResultT:
    """The member with this value; the first one, which says nothing, for a word of later days."""
    try:
        return kind(word)
    except ValueError:
        return next(iter(kind))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
