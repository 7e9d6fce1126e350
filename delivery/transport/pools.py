"""The pools of all next hops of one process, made when they are first needed."""

from delivery.next_hop import NextHop
from delivery.transport.connection import Timeouts
from delivery.transport.pool import Pool, PoolLimits
from delivery.transport.tls import opportunistic_tls


class Pools:
    """The pools of all next hops of one process."""

    def __init__(
        self, *, helo: str, limits: PoolLimits, timeouts: Timeouts | None = None, tls: bool = True
    ) -> None:
        self._helo, self._limits = helo, limits
        self._timeouts = timeouts or Timeouts()
        self._context = opportunistic_tls() if tls else None
        self._pools: dict[str, Pool] = {}

    def of(self, hop: NextHop) -> Pool:
        """The pool of this hop, which connects from now on to the addresses that it has now."""
        pool = self._pools.get(hop.key)
        if pool is None:
            pool = self._pools[hop.key] = Pool(
                hop,
                helo=self._helo,
                limits=self._limits,
                timeouts=self._timeouts,
                context=self._context,
            )
        pool.aim(hop)
        return pool

    def sweep(self) -> None:
        """Forget the hops that nothing was sent to for long."""
        for key in [key for key, pool in self._pools.items() if pool.is_forgettable]:
            del self._pools[key]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
