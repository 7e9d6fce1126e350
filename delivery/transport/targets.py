"""Which address of a next hop is tried next.

By preference; of equal preference in random order, drawn for each connection (RFC 5321, 5.1), so
that the load is spread. What failed within the last minutes comes last, whatever its preference.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from delivery.next_hop import NextHop
from mxax.setting_values import HostPort

FAILED_SECONDS = 60.0
CLEAR_SECONDS = 3600.0
_MOST_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one host; `host` is the name that TLS and the log know it by."""

    host: str
    where: HostPort


class Targets:
    """The addresses of one next hop, and what was seen of them. `clock` gives seconds."""

    def __init__(self, hop: NextHop, clock: Callable[[], float]) -> None:
        self._hop, self._clock = hop, clock
        self._failed_until: dict[HostPort, float] = {}
        self._clear_until: dict[HostPort, float] = {}
        self._in_turn_until: dict[HostPort, float] = {}

    def aim(self, hop: NextHop) -> None:
        """The next hop has other addresses now."""
        self._hop = hop
        for remembered in (self._failed_until, self._clear_until, self._in_turn_until):
            if len(remembered) > _MOST_REMEMBERED:
                remembered.clear()

    def in_order(self, *, without: frozenset[str] = frozenset()) -> list[Target]:
        """All addresses in the order to try, but those of hosts that were tried already."""
        hosts = [host for host in self._hop.hosts if host.name not in without]
        random.shuffle(hosts)
        hosts.sort(key=lambda host: host.preference)
        targets = [Target(host.name, where) for host in hosts for where in host.addresses]
        targets.sort(key=self._fails)
        return targets

    def all_in(self, tried: frozenset[str]) -> bool:
        """Whether there is no host beside those that were tried."""
        return all(host.name in tried for host in self._hop.hosts)

    @property
    def all_fail(self) -> bool:
        return all(map(self._fails, self.in_order()))

    def failed(self, target: Target) -> None:
        """No session came about there."""
        self._failed_until[target.where] = self._clock() + FAILED_SECONDS

    def host_failed(self, name: str) -> None:
        """The host said that it does not serve us now."""
        for target in self.in_order():
            if target.host == name:
                self.failed(target)

    def succeeded(self, target: Target) -> None:
        self._failed_until.pop(target.where, None)

    def tls_failed(self, target: Target) -> None:
        """TLS was offered there and did not come about."""
        self._clear_until[target.where] = self._clock() + CLEAR_SECONDS

    def speaks_clear(self, target: Target) -> bool:
        """Whether to go without TLS there for a while."""
        return self._clear_until.get(target.where, 0.0) > self._clock()

    def pipelining_failed(self, target: Target) -> None:
        """Commands went there in one write, and only the first of them were answered."""
        self._in_turn_until[target.where] = self._clock() + CLEAR_SECONDS

    def wants_turns(self, target: Target) -> bool:
        """Whether to wait there for each reply, whatever its EHLO offers, for a while."""
        return self._in_turn_until.get(target.where, 0.0) > self._clock()

    @property
    def taught_us(self) -> bool:
        """Whether something is remembered that would cost an attempt to find out again."""
        lessons = (*self._clear_until.values(), *self._in_turn_until.values())
        return any(until > self._clock() for until in lessons)

    def _fails(self, target: Target) -> bool:
        return self._failed_until.get(target.where, 0.0) > self._clock()
