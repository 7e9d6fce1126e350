"""Direct delivery: the MX hosts of a domain and their addresses (RFC 5321, 5.1).

    domain  ->  MX look-up  ->  address look-ups  ->  what may be connected to  ->  NextHop

| DNS says | then |
|---|---|
| MX records | their hosts, by preference |
| null MX (RFC 7505) | failed, 556 5.1.10 |
| the name exists, no MX | the domain itself is the host ("implicit MX") |
| no such name, and none with an address either | failed, 5.1.2 |
| no answer, SERVFAIL | deferred, 4.4.3: says nothing about the domain |
| no host has an address / only forbidden ones | failed, 5.4.4 |
| the best host is ourselves | failed, 5.4.6: the mail would come back |

What an answer in DNS forbids is decided on the addresses that are given to the transport, and it
connects to these, not to names: nothing is looked up a second time in between.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from django.conf import settings

from delivery.forbidden import is_forbidden
from delivery.lookups import Answer, Lookup, MxRecord
from delivery.lookups import Outcome as DnsOutcome
from delivery.next_hop import Host, NextHop
from delivery.transport.values import Outcome, Stage
from mail.retry import OutcomeClass
from mxax.setting_values import HostPort

MAX_HOSTS: Final = 16
MAX_ADDRESSES: Final = 8
ADDRESS_SECONDS: Final = 5.0
_ROUTE_SECONDS: Final = 60.0
_FAR_V6: Final = "2001:4860:4860::8888"  # any address of the net: nothing is sent to it


@dataclass(frozen=True, slots=True)
class Rules:
    """Where we may connect. `own_names` are names of ours, `listening` where we take mail."""

    port: int = 25
    allow_private: bool = False
    own_names: tuple[str, ...] = ()
    listening: tuple[HostPort, ...] = ()


def rules_from_settings() -> Rules:
    env = settings.ENV
    return Rules(
        port=env.next_hop_port,
        allow_private=env.allow_private_next_hops,
        own_names=(env.service_domain, env.forward_domain),
        listening=(env.mx_listen, env.failover_listen),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """One MX host with what its address look-ups gave."""

    record: MxRecord
    allowed: tuple[str, ...]
    is_ours: bool = False
    was_forbidden: bool = False
    failed: bool = False


class RouteToV6:
    """Whether this machine has a route to the IPv6 net; asked of the kernel once a minute."""

    def __init__(self) -> None:
        self._known, self._asked_at = False, float("-inf")

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at > _ROUTE_SECONDS:
            self._known, self._asked_at = source_address(_FAR_V6) is not None, now
        return self._known


@dataclass(frozen=True, slots=True)
class Direct:
    """Resolves by MX records; belongs to the event loop of its look-ups."""

    lookup: Lookup
    rules: Rules
    prefers_v6: Callable[[], bool] = field(default_factory=RouteToV6)

    async def resolve(self, domain: str) -> NextHop | Outcome:
        """The next hop of a domain, or the outcome that DNS decided."""
        if domain.startswith("["):
            return _failed(550, "5.1.2", "mail is not sent to address literals")
        answer = await self.lookup.mx(domain)
        if answer.failed:
            return _no_answer(f"no answer in DNS to the MX records of {domain}")
        if answer.outcome is not DnsOutcome.FOUND:
            return await self._implicit(domain, answer)
        records = [record for record in answer.records if record.exchange]
        if not records:
            return _failed(556, "5.1.10", f"{domain} takes no mail (null MX)")
        return await self._hop(domain, _best(records))

    async def _implicit(self, domain: str, answer: Answer[MxRecord]) -> NextHop | Outcome:
        """Without MX records the domain itself is the host (RFC 5321, 5.1).

        "No such name" is believed only when the question for addresses is answered likewise: some
        servers deny a name that has records of another kind.
        """
        families = await asyncio.gather(*(self._ask(domain, family) for family in ("A", "AAAA")))
        if any(one.outcome is DnsOutcome.FOUND for one in families):
            return await self._hop(domain, [MxRecord(0, domain)])
        if any(one.failed for one in families):
            return _no_answer(f"no answer in DNS to the addresses of {domain}")
        if answer.outcome is DnsOutcome.NO_NAME:
            return _failed(550, "5.1.2", f"the domain {domain} does not exist")
        return _failed(550, "5.4.4", f"{domain} has neither MX records nor addresses")

    async def _hop(self, domain: str, records: Sequence[MxRecord]) -> NextHop | Outcome:
        found = await asyncio.gather(*(self._look_at(record) for record in records))
        usable = _before_ours(found)
        hosts = tuple(
            Host(
                one.record.exchange,
                tuple(HostPort(address, self.rules.port) for address in one.allowed),
                one.record.preference,
            )
            for one in usable
            if one.allowed
        )
        if hosts:
            return NextHop(_key(records), hosts)
        return _why_none(domain, found, usable)

    async def _look_at(self, record: MxRecord) -> _Found:
        """The addresses of one MX host that we may connect to."""
        name = record.exchange
        if name in self.rules.own_names:
            return _Found(record, (), is_ours=True)
        four, six = await asyncio.gather(self._ask(name, "A"), self._ask(name, "AAAA"))
        order = (six, four) if self.prefers_v6() else (four, six)
        addresses = [address for answer in order for address in answer.records]
        allowed = tuple(one for one in addresses if self._may(one))[:MAX_ADDRESSES]
        return _Found(
            record,
            allowed=allowed,
            is_ours=any(map(self._is_ours, addresses)),
            was_forbidden=len(allowed) < len(addresses),
            failed=four.failed or six.failed,
        )

    async def _ask(self, name: str, family: Literal["A", "AAAA"]) -> Answer[str]:
        """A slow server keeps the other hosts waiting for some seconds only; its answer is kept."""
        try:
            async with asyncio.timeout(ADDRESS_SECONDS):
                return await self.lookup.addresses(name, family)
        except TimeoutError:
            return Answer(DnsOutcome.FAILURE)

    def _may(self, address: str) -> bool:
        return self.rules.allow_private or not is_forbidden(address)

    def _is_ours(self, address: str) -> bool:
        """Whether our own listener, or with public addresses only this machine, is there."""
        if self.rules.allow_private:
            return any(
                self.rules.port == here.port and _is_at(address, here.host)
                for here in self.rules.listening
            )
        if is_forbidden(address):
            return False
        return source_address(address) == address


def source_address(address: str) -> str | None:
    """From where this machine would speak to an address; None without a route. Nothing is sent.

    An address of the machine itself is reached from that same address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            name: str = probe.getsockname()[0]
            return name
    except (OSError, ValueError):
        return None


def _is_at(address: str, listening: str) -> bool:
    """Whether a listener on this address, maybe the wildcard, answers there."""
    if ipaddress.ip_address(listening).is_unspecified:
        return source_address(address) == address
    return address == listening


def _best(records: Sequence[MxRecord]) -> list[MxRecord]:
    """Each host once, with its best preference, the most preferred first."""
    best: dict[str, MxRecord] = {}
    for record in sorted(records):
        best.setdefault(record.exchange, record)
    return list(best.values())[:MAX_HOSTS]


def _before_ours(found: Sequence[_Found]) -> list[_Found]:
    """Only hosts more preferred than ourselves: the others would send it back (RFC 5321, 5.1)."""
    ours = min((one.record.preference for one in found if one.is_ours), default=None)
    return [one for one in found if ours is None or one.record.preference < ours]


def _key(records: Sequence[MxRecord]) -> str:
    return ",".join(sorted(record.exchange for record in records))


def _why_none(domain: str, found: Sequence[_Found], usable: Sequence[_Found]) -> Outcome:
    if any(one.failed for one in usable):
        return _no_answer(f"no answer in DNS to the addresses of the MX hosts of {domain}")
    if any(one.is_ours for one in found):
        return _failed(550, "5.4.6", f"the MX records of {domain} lead back to us")
    if any(one.was_forbidden for one in found):
        return _failed(550, "5.4.4", f"the MX hosts of {domain} have private addresses only")
    return _failed(550, "5.4.4", f"the MX hosts of {domain} have no address")


def _failed(basic: int, enhanced: str, text: str) -> Outcome:
    reply = f"{basic} {enhanced} {text}"
    return Outcome(OutcomeClass.PERMANENT, Stage.LOCAL, reply, enhanced=enhanced)


def _no_answer(text: str) -> Outcome:
    return Outcome(OutcomeClass.TRANSIENT, Stage.LOCAL, f"451 4.4.3 {text}", enhanced="4.4.3")
