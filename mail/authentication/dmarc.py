"""Whether the domain in From vouches for a message, and what its owner asks for (RFC 9989).

    author = read_author(fields)
    verdict = await judge_dmarc(lookup, author=author, spf=..., dkim=...)

The record is looked for at the author domain and up the tree, at most eight names (4.10). Names
that passed SPF or DKIM are compared by their organizational domains, found in the same way; a walk
is made only where it can matter, and no name is asked for twice in one call.

What RFC 9989 leaves to us: a message without exactly one From field, or whose From names no domain
or more than four, cannot be judged and is `permerror` (5.3.1; who decides should refuse it, 11.5).
Of two to four author domains each is judged, and the worst verdict is the message's (11.5). Where
DNS fails for something that could have passed, the verdict is `temperror`, never `fail` (5.3.6).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mail.address import is_within
from mail.authentication.dmarc_record import DmarcRecord, SuffixFlag, read_record
from mail.authentication.values import (
    DkimResult,
    DkimSignature,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
    SpfResult,
    SpfVerdict,
)
from mail.errors import TooManyAuthors
from mail.lookups import Lookup, Outcome
from mail.mailboxes import author_domains
from mail.message import Field

MAX_AUTHOR_DOMAINS: Final = 4
MAX_NAMES_OF_A_WALK: Final = 8
_MAX_IDENTIFIERS: Final = 16  # all signatures that are looked at, and SPF
_MAX_RECORDS: Final = 100
_LABEL: Final = "[a-z0-9_][a-z0-9_-]{0,62}"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*").fullmatch
_UNSEEN = re.compile(rb"[^!-~]++")
_BEST_FIRST: Final = (
    *(DmarcResult.PASS, DmarcResult.NONE, DmarcResult.TEMPERROR, DmarcResult.FAIL),
)
_LENIENT_FIRST: Final = tuple(DmarcPolicy)


@dataclass(frozen=True, slots=True)
class Author:
    """Who From says wrote it: how many From fields, and all domains in them, canonical."""

    from_count: int
    domains: tuple[str, ...]
    too_many: bool = False
    """More names than are read: `domains` is empty."""


class _Unanswered(Exception):
    """DNS did not say what is at this name."""


@dataclass(frozen=True, slots=True)
class _Identifier:
    """A domain that SPF or DKIM showed to be used rightly, or may yet (`is_known` is False)."""

    mechanism: str
    domain: str
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class _Asked:
    """The record that applies to an author domain, and where it stands."""

    record: DmarcRecord
    name: str


@dataclass(frozen=True, slots=True)
class _Alignment:
    """What is aligned; `undecided` if a name that DNS did not answer for might have been."""

    by: tuple[str, ...] = ()
    organizational_domain: str = ""
    undecided: bool = False


@dataclass(slots=True)
class _Tree:
    """The records of one call by their names; no name is asked for twice."""

    lookup: Lookup
    found: dict[str, DmarcRecord | None] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)

    async def record(self, name: str) -> DmarcRecord | None:
        """The one DMARC record of a domain; several are none (4.10, step 2)."""
        if name not in self.found and name not in self.unanswered:
            await self._ask(name)
        if name in self.unanswered:
            raise _Unanswered(f"_dmarc.{name}")
        return self.found[name]

    async def _ask(self, name: str) -> None:
        answer = await self.lookup.txt(f"_dmarc.{name}")
        if answer.failed:
            self.unanswered.add(name)
            return
        read = [read_record(octets) for octets in answer.records[:_MAX_RECORDS]]
        records = [record for record in read if record is not None]
        self.found[name] = records[0] if len(records) == 1 else None

    async def walk(self, domain: str) -> list[_Asked]:
        """The records from this name upwards, to one that says what its name is (4.10)."""
        found = []
        for name in _names_upwards(domain):
            record = await self.record(name)
            if record is not None:
                found.append(_Asked(record, name))
                if record.suffix is not SuffixFlag.UNSAID:
                    break
        return found

    async def organizational_domain(self, domain: str) -> str:
        return _organizational(domain, await self.walk(domain))

    async def asked_of(self, domain: str) -> _Asked | None:
        """What applies to mail of an author domain: its own, its organization's, the suffix's."""
        own = await self.record(domain)
        if own is not None:
            return _Asked(own, domain)
        found = await self.walk(domain)
        organizational = _organizational(domain, found)
        for asked in found:
            if asked.name == organizational:
                return asked
        return found[-1] if found else None

    async def exists(self, domain: str) -> bool:
        """False only where each kind of record is answered by NXDOMAIN (3.2.13, RFC 8020)."""
        for asking in (
            lambda: self.lookup.mx(domain),
            lambda: self.lookup.addresses(domain, "A"),
            lambda: self.lookup.addresses(domain, "AAAA"),
        ):
            answer = await asking()
            if answer.failed:
                raise _Unanswered(domain)
            if answer.outcome is not Outcome.NO_NAME:
                return True
        return False


def _names_upwards(domain: str) -> list[str]:
    """The at most eight names of a walk: the domain, and its last seven labels or fewer."""
    labels = domain.split(".")
    above = labels[1:][1 - MAX_NAMES_OF_A_WALK :]
    return [domain, *(".".join(above[start:]) for start in range(len(above)))]


def _organizational(domain: str, found: Sequence[_Asked]) -> str:
    """The organizational domain by the records of its walk (4.10.2)."""
    for asked in found:
        if asked.record.suffix is SuffixFlag.ORGANIZATIONAL:
            return asked.name
        if asked.record.suffix is SuffixFlag.PUBLIC_SUFFIX:
            # One label below it; where the walk began at it, there is none to add.
            return ".".join(domain.split(".")[-asked.name.count(".") - 2 :])
    return found[-1].name if found else domain


def read_author(fields: Iterable[Field]) -> Author:
    """The author by the From fields, those with a spoiled name included."""
    values = [one.value for one in fields if _names_from(one.name)]
    try:
        return Author(len(values), author_domains(values))
    except TooManyAuthors:
        return Author(len(values), (), too_many=True)


def _names_from(name: bytes) -> bool:
    # Almost every name is plain: a search is a third of a replacement.
    return name == b"from" or (
        _UNSEEN.search(name) is not None and _UNSEEN.sub(b"", name) == b"from"
    )


async def judge_dmarc(
    lookup: Lookup, *, author: Author, spf: SpfVerdict, dkim: Sequence[DkimSignature]
) -> DmarcVerdict:
    """The verdict on the author domain; of several the worst (RFC 9989, 5.3)."""
    problem = _problem(author)
    if problem:
        only = author.domains[0] if len(author.domains) == 1 else ""
        return DmarcVerdict(DmarcResult.PERMERROR, only, reason=problem)
    tree, identifiers = _Tree(lookup), _identifiers(spf, dkim)
    verdicts = [await _judge(tree, domain, identifiers) for domain in author.domains]
    return max(verdicts, key=_badness)


def _problem(author: Author) -> str:
    """Why the message cannot be judged, "" where it can (5.3.1, 11.5)."""
    if author.from_count != 1:
        return "no From field" if not author.from_count else f"{author.from_count} From fields"
    if author.too_many or len(author.domains) > MAX_AUTHOR_DOMAINS:
        return f"more than {MAX_AUTHOR_DOMAINS} author domains in From"
    if not author.domains:
        return "no author domain in From"
    if not all(map(_NAME, author.domains)):
        return "an author domain in From that is no name"
    return ""


def _badness(verdict: DmarcVerdict) -> tuple[int, int]:
    return _BEST_FIRST.index(verdict.result), _LENIENT_FIRST.index(verdict.policy)


def _identifiers(spf: SpfVerdict, dkim: Sequence[DkimSignature]) -> list[_Identifier]:
    """What passed (4.4), and what only DNS kept from being known (5.3.6), each once."""
    path = spf.mail_from
    known = {SpfResult.PASS: True, SpfResult.TEMPERROR: False}.get(path.result)
    found = [("spf", path.domain, known)]
    for one in dkim:
        known = {DkimResult.PASS: True, DkimResult.TEMPERROR: False}.get(one.result)
        found.append(("dkim", one.domain, None if one.is_testing else known))
    identifiers: dict[_Identifier, None] = {}
    for mechanism, domain, known in found:
        name = domain.lower().rstrip(".")
        if known is not None and _NAME(name):
            identifiers[_Identifier(mechanism, name, known)] = None
    return list(identifiers)[:_MAX_IDENTIFIERS]


async def _judge(tree: _Tree, domain: str, identifiers: Sequence[_Identifier]) -> DmarcVerdict:
    """The verdict on one author domain."""
    try:
        asked = await tree.asked_of(domain)
    except _Unanswered as name:
        reason = f"DNS does not answer for {name}"
        return DmarcVerdict(DmarcResult.TEMPERROR, domain, reason=reason)
    if asked is None:
        return DmarcVerdict(DmarcResult.NONE, domain, reason="no DMARC record")
    if not asked.record.applies:
        reason = f"the DMARC record of {asked.name} has no valid policy"
        return DmarcVerdict(DmarcResult.NONE, domain, reason=reason)
    alignment = await _align(tree, domain, asked.record, identifiers)
    result, reason = _result(alignment, identifiers)
    try:
        exists = await _exists(tree, domain, asked)
    except _Unanswered:
        exists = True
        if result is DmarcResult.FAIL:
            result, reason = DmarcResult.TEMPERROR, "DNS does not say whether the domain exists"
    return DmarcVerdict(
        result,
        domain,
        asked.record.policy_for(is_subdomain=asked.name != domain, exists=exists),
        asked.name,
        alignment.organizational_domain,
        alignment.by,
        asked.record.is_testing,
        reason,
    )


async def _exists(tree: _Tree, domain: str, asked: _Asked) -> bool:
    if asked.name == domain or not asked.record.asks_for_missing_names:
        return True  # or it makes no difference
    return await tree.exists(domain)


def _result(alignment: _Alignment, identifiers: Sequence[_Identifier]) -> tuple[DmarcResult, str]:
    if alignment.by:
        return DmarcResult.PASS, f"aligned by {' and '.join(alignment.by)}"
    if alignment.undecided:
        return DmarcResult.TEMPERROR, "DNS does not answer for what might be aligned"
    passed = [f"{one.mechanism} of {one.domain}" for one in identifiers if one.is_known]
    return DmarcResult.FAIL, f"not aligned: {', '.join(passed)}" if passed else "nothing passed"


async def _align(
    tree: _Tree, domain: str, record: DmarcRecord, identifiers: Sequence[_Identifier]
) -> _Alignment:
    """Which identifiers are aligned with the author domain (4.10.2)."""
    by: set[str] = set()
    organizational, undecided = "", False
    for one in identifiers:
        try:
            if one.domain == domain:
                aligned = True
            elif _is_strict(record, one.mechanism) or _suffix(one.domain) != _suffix(domain):
                aligned = False
            else:
                organizational = await tree.organizational_domain(domain)
                aligned = await _is_of(tree, one.domain, organizational)
        except _Unanswered:
            undecided = True
            continue
        if aligned and one.is_known:
            by.add(one.mechanism)
        elif aligned:
            undecided = True
    # What both are is treated as the organizational domain (4.10.2).
    return _Alignment(tuple(sorted(by)), organizational or (domain if by else ""), undecided)


def _is_strict(record: DmarcRecord, mechanism: str) -> bool:
    return record.strict_spf if mechanism == "spf" else record.strict_dkim


def _suffix(domain: str) -> str:
    return domain.rpartition(".")[2]


async def _is_of(tree: _Tree, domain: str, organizational: str) -> bool:
    """Whether this is the organizational domain of that name, which is asked only if it may be."""
    if not is_within(domain, organizational):
        return False
    return await tree.organizational_domain(domain) == organizational
