"""SPF (RFC 7208): may this client use this reverse-path, and this HELO name?

    check_identity   MAIL FROM, or HELO where there is none    ->  SpfCheck

Nothing here waits but for the `Lookup`, and nothing raises for what a stranger wrote. Bounds
(4.6.4): ten terms that ask DNS, two of them in vain, ten MX, ten names of the client. Time is the
caller's: the RFC grants 20 s in all (`asyncio.timeout`; what has not ended by then is a temperror),
and who wants both identities at once runs two `check_identity` side by side.

A result depends on the client, the HELO name (`%{h}`), the domain, and, where `by_local_part` says
so, on the mailbox: that is the key under which it may be kept.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mail.address import canonical_domain
from mail.authentication.client_name import client_address
from mail.authentication.spf_lookups import SpfLookups, SpfStop, shown, stop
from mail.authentication.spf_macros import (
    MacroString,
    MacroValues,
    expand_explanation,
    expand_name,
    parse_explanation,
)
from mail.authentication.spf_record import Directive, Mechanism
from mail.authentication.values import SpfCheck, SpfResult
from mail.errors import BadDomain, BadSpfRecord
from mail.lookups import Lookup

MAX_SECONDS: Final = 20.0
_MAX_IDENTITY: Final = 1_024
_MAX_HELO: Final = 255
_MAX_REASON: Final = 300
_NAME = re.compile(
    r"(?!\[)(?=.{3,253}\Z)(?:[!-\-/-?A-~]{1,63}\.)+(?![0-9]+\Z)[!-\-/-?A-~]{1,63}"
).fullmatch
_POSTMASTER: Final = "postmaster"  # 4.3: the local part where there is none


async def check_identity(
    lookup: Lookup,
    *,
    client_ip: str,
    helo: str,
    reverse_path: str,
    now: datetime,
    receiver: str = "unknown",
    explains: bool = True,
) -> SpfCheck:
    """One identity: MAIL FROM, or HELO where the reverse-path is null (2.4).

    None for a text that DNS cannot be asked for: a literal, a name without a dot (4.3). The owner's
    explanation of a failure costs up to a dozen questions more; `explains` False leaves it out.
    """
    local_part, _, path_domain = reverse_path.rpartition("@")
    asked = path_domain if reverse_path else helo
    domain, client = _asked_domain(asked), client_address(client_ip)
    if domain is None or client is None or len(reverse_path) > _MAX_IDENTITY:
        return SpfCheck(SpfResult.NONE, "", f"there is no domain to ask in {shown(asked)!r}")
    said = _asked_domain(helo) or helo[:_MAX_HELO]
    evaluation = _Evaluation(
        lookup,
        MacroValues(local_part or _POSTMASTER, domain, domain, client, said, now, receiver),
    )
    return await evaluation.check(domain, explains=explains)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the records of one domain come to, redirects followed. `domain` had the last record."""

    result: SpfResult
    reason: str
    domain: str
    explained_by: MacroString | None = None


class _Evaluation:
    """One identity under way."""

    def __init__(self, lookup: Lookup, values: MacroValues) -> None:
        self._dns = SpfLookups(lookup, values.client)
        self._values, self._client = values, values.client
        self._by_local_part = False

    async def check(self, domain: str, *, explains: bool) -> SpfCheck:
        """The verdict, errors as results."""
        try:
            found = await self.check_host(domain)
        except SpfStop as error:
            found = _Found(error.result, error.reason, domain)
        is_wanted = explains and found.result is SpfResult.FAIL
        explanation = await self._explanation(found) if is_wanted else ""
        reason = found.reason if len(found.reason) <= _MAX_REASON else f"{found.reason[:297]}..."
        return SpfCheck(found.result, domain, reason, explanation, self._by_local_part)

    async def check_host(self, domain: str) -> _Found:
        """The function of the RFC (4). Raises `SpfStop` with temperror and permerror."""
        record = await self._dns.record(domain)
        if record is None:
            return _Found(SpfResult.NONE, f"{shown(domain)} has no SPF record", domain)
        for directive in record.directives:
            how = await self._matches(directive, domain)
            if how is not None:
                reason = f"{shown(directive.text)} in the record of {shown(domain)}{how}"
                return _Found(directive.result, reason, domain, record.explanation)
        if record.redirect is not None:
            return await self._redirected(record.redirect, domain)
        reason = f"nothing in the record of {shown(domain)} matches"
        return _Found(SpfResult.NEUTRAL, reason, domain)

    async def _redirected(self, redirect: MacroString, domain: str) -> _Found:
        self._dns.count_term(domain)
        target = _asked_domain(await self._expand(redirect, domain) or "")
        found = await self.check_host(target) if target else None
        if found is None or found.result is SpfResult.NONE:
            to = f" to {shown(target)}, which has none" if target else " to no name"
            stop(SpfResult.PERMERROR, f"the record of {shown(domain)} redirects{to}")
        return replace(found, reason=f"{found.reason}, to which {shown(domain)} redirects")

    async def _matches(self, directive: Directive, domain: str) -> str | None:
        """None where it does not match, else what is to be added to the reason."""
        match directive.mechanism:
            case Mechanism.ALL:
                return ""
            case Mechanism.IP4 | Mechanism.IP6:
                return _told(self._is_in_network(directive))
        self._dns.count_term(domain)
        target = await self._expand(directive.target, domain) if directive.target else domain
        return None if target is None else await self._asks(directive, target, domain)

    async def _asks(self, directive: Directive, target: str, domain: str) -> str | None:
        match directive.mechanism:
            case Mechanism.INCLUDE:
                return await self._includes(target, domain)
            case Mechanism.A:
                return _told(await self._has_address(directive, (target,)))
            case Mechanism.MX:
                names = await self._dns.exchanges(target)
                return _told(await self._has_address(directive, names))
            case Mechanism.PTR:
                return _told(await self._dns.has_name_below(target))
            case _:
                return _told(await self._dns.exists(target))

    def _is_in_network(self, directive: Directive) -> bool:
        version = 4 if directive.mechanism is Mechanism.IP4 else 6
        return version == self._client.version and directive.covers(self._client, directive.network)

    async def _includes(self, target: str, domain: str) -> str | None:
        """Only a pass matches; no record is an error (5.2)."""
        name = _asked_domain(target)
        found = await self.check_host(name) if name else None
        if found is None or found.result is SpfResult.NONE:
            stop(
                SpfResult.PERMERROR,
                f"the record of {shown(domain)} includes {shown(target)}, which has none",
            )
        return f", by {found.reason}" if found.result is SpfResult.PASS else None

    async def _has_address(self, directive: Directive, names: tuple[str, ...]) -> bool:
        """Whether the client is in the network of an address of one of these names."""
        is_void = bool(names)
        for name in names:
            for text in await self._dns.addresses(name):
                is_void = False
                address = client_address(text)
                if address is None or address.version != self._client.version:
                    continue
                if directive.covers(self._client, int(address)):
                    return True
        if is_void:
            self._dns.count_void()
        return False

    async def _expand(self, spec: MacroString, domain: str) -> str | None:
        """A name to ask for; None where no term can match, for a local part beyond ASCII.

        RFC 8616, 4.
        """
        values = await self._values_for(spec, domain)
        if spec.looks_at_mailbox and not values.local_part.isascii():
            return None
        return expand_name(spec, values).lower()

    async def _values_for(self, spec: MacroString, domain: str) -> MacroValues:
        self._by_local_part = self._by_local_part or spec.looks_at_mailbox
        name = await self._dns.name_of_client(domain) if spec.wants_client_name else "unknown"
        return replace(self._values, domain=domain, client_name=name)

    async def _explanation(self, found: _Found) -> str:
        """The text of the record that failed (6.2); "" for any error on the way to it."""
        spec = found.explained_by
        name = await self._expand(spec, found.domain) if spec else None
        try:
            text = parse_explanation(await self._dns.text(name) if name else "")
        except BadSpfRecord:
            return ""
        return expand_explanation(text, await self._values_for(text, found.domain))


def _told(matches: bool) -> str | None:
    return "" if matches else None


def _asked_domain(text: str) -> str | None:
    """The A-label form in lower case; None where there is nothing to ask for (4.3)."""
    try:
        domain = text.lower().removesuffix(".") if text.isascii() else canonical_domain(text)
    except BadDomain:
        return None
    return domain if _NAME(domain) else None
