"""Whether a destination's domain takes mail at all, asked in the DNS when the destination is saved.

| the DNS says | direct delivery | through a smarthost |
|---|---|---|
| null MX (RFC 7505) | refused | refused: it is the domain's own word |
| no such name | refused | saved: the smarthost may know names that the DNS does not |
| a name with neither MX records nor addresses | refused | saved |
| SERVFAIL, nothing within three seconds | saved | saved |
| not asked: others wait for answers just now | saved | saved |
| anything else | saved | saved |

Trouble with our DNS is no reason to keep anybody from saving a route. Where the MX hosts lie is not
looked at: that may change any day, so delivery judges their addresses at each attempt
(`delivery/direct.py`), and saving a route knocks nowhere. Through a smarthost nothing is asked
unless the operator named resolvers: the resolvers of such a machine may know nothing of the world.
"""

import asyncio
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
from django.conf import settings

from routing.resolver import Server

ALL_SECONDS: Final = 3.0
"""For all domains of a route together: somebody waits for the page."""
ONE_TRY_SECONDS: Final = 1.2
AT_ONCE: Final = 2
"""Of the four threads of a web process; name servers of a stranger may be slow on purpose."""

_places = threading.BoundedSemaphore(AT_ONCE)


class MailWord(Enum):
    """What a domain says of mail to it."""

    TAKES = "takes mail"
    NULL_MX = "takes no mail (null MX)"
    NO_NAME = "is not in the DNS"
    NO_HOST = "has neither MX records nor an address in the DNS"
    UNKNOWN = "did not answer"


@dataclass(frozen=True, slots=True)
class MailQuestions:
    """Whom to ask, and whether a domain must be in the DNS at all. No `servers`: the system's."""

    servers: tuple[Server, ...] = ()
    must_exist: bool = True

    def is_against(self, word: MailWord) -> bool:
        """Whether no mail can come to a domain that said this."""
        if word in (MailWord.NO_NAME, MailWord.NO_HOST):
            return self.must_exist
        return word is MailWord.NULL_MX


def configured_questions() -> MailQuestions | None:
    """What this installation's settings say; None where nothing is asked."""
    env = settings.ENV
    is_direct = env.smarthost is None
    if not is_direct and not env.dns_servers:
        return None
    servers = tuple(Server(where.host, where.port) for where in env.dns_servers)
    return MailQuestions(servers, must_exist=is_direct)


def domains_without_mail(domains: Iterable[str], questions: MailQuestions) -> dict[str, MailWord]:
    """Those of the domains (A-labels) that no mail can come to, with what they said.

    Takes three seconds at most; must not be called from an event loop. While `AT_ONCE` others of
    this process wait for answers, nothing is asked: saving does not depend on it.
    """
    names = list(dict.fromkeys(domains))
    if not names or not _places.acquire(blocking=False):
        return {}
    try:
        words = asyncio.run(_ask_all(names, questions.servers))
    finally:
        _places.release()
    return {
        name: word for name, word in zip(names, words, strict=True) if questions.is_against(word)
    }


async def _ask_all(names: Sequence[str], servers: Sequence[Server]) -> list[MailWord]:
    try:
        stub = _stub(servers)
    except dns.exception.DNSException:
        return [MailWord.UNKNOWN] * len(names)  # the system has no resolvers
    return list(await asyncio.gather(*(_ask(stub, name) for name in names)))


async def _ask(stub: dns.asyncresolver.Resolver, name: str) -> MailWord:
    try:
        async with asyncio.timeout(ALL_SECONDS):
            return await _word(stub, name)
    except (dns.exception.DNSException, OSError, TimeoutError):
        return MailWord.UNKNOWN


async def _word(stub: dns.asyncresolver.Resolver, name: str) -> MailWord:
    exchanges = await _records(stub, name, "MX")
    if exchanges:
        is_null = all(record.exchange == dns.name.root for record in exchanges)
        return MailWord.NULL_MX if is_null else MailWord.TAKES
    # Some servers deny a name that has records of another kind: its addresses are asked for, too.
    families = await asyncio.gather(*(_records(stub, name, kind) for kind in ("A", "AAAA")))
    if any(families):
        return MailWord.TAKES
    denied = exchanges is None and all(found is None for found in families)
    return MailWord.NO_NAME if denied else MailWord.NO_HOST


async def _records(stub: dns.asyncresolver.Resolver, name: str, kind: str) -> list[Any] | None:
    """The records, over CNAMEs; None where there is no such name."""
    try:
        found = await stub.resolve(
            f"{name}.", kind, search=False, raise_on_no_answer=False, lifetime=ALL_SECONDS
        )
    except dns.resolver.NXDOMAIN:
        return None
    return list(found.rrset or ())


def _stub(servers: Sequence[Server]) -> dns.asyncresolver.Resolver:
    stub = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        stub.nameservers = [
            dns.nameserver.Do53Nameserver(server.address, server.port) for server in servers
        ]
    stub.timeout, stub.lifetime = ONE_TRY_SECONDS, ALL_SECONDS
    return stub
