"""One edge process from start to end: what it is made of, and how it goes.

| part | where it runs |
|---|---|
| sessions, sweeper | the event loop |
| committer | its thread and connection; the process ends with it |
| storing of large messages, look-ups, refusals, notices of changed routes | threads of their own |
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import structlog
from django.conf import settings

from delivery import bell
from delivery.held_room import held_octets
from delivery.markers import marker_keys
from mxax.data_folder import DataFolder
from mxax.env import Environment
from routing.own_names import OwnNames
from routing.selectors import domain_snapshot
from smtp_edge import hygiene
from smtp_edge.committer import Committer
from smtp_edge.database_threads import DatabaseThreads
from smtp_edge.disk import FreeSpace, unlimited
from smtp_edge.domains import DomainCache
from smtp_edge.held_room import HeldRoom
from smtp_edge.inbound import Inbound
from smtp_edge.inspection import Inspector
from smtp_edge.keeping import QueueKeeper
from smtp_edge.limits import Limits
from smtp_edge.listener import Listener
from smtp_edge.protocol import MxSession
from smtp_edge.recipients import RecipientDesk
from smtp_edge.refusals import Refusals
from smtp_edge.reporter import DatabaseReporter
from smtp_edge.return_paths import ReturnPaths
from smtp_edge.route_listener import RouteListener
from smtp_edge.store import MessageStore
from smtp_edge.tls import server_context
from tenants.vault import prove_data_key

log = structlog.get_logger()

_BACKLOG = 512
_LOOKUP_THREADS = 4
_STORE_SECONDS = 20.0


def limits_of(env: Environment) -> Limits:
    limits = Limits(
        message_octets=env.max_message_octets, client_connections=env.client_connections
    )
    return hygiene.hygienic(limits, env)


def _room_of(env: Environment) -> Callable[[int], bool]:
    """The disk of the embedded database; another one's is not ours to see."""
    if not env.embedded:
        return unlimited
    return FreeSpace(DataFolder(env.data_dir).cluster, env.free_space_floor).has_room


class Edge:
    """All parts of the process; made inside the running loop."""

    def __init__(
        self, env: Environment, limits: Limits, store: MessageStore, ring: Callable[[], None]
    ) -> None:
        self._lookups = DatabaseThreads("lookup", _LOOKUP_THREADS, limits.lookup_seconds)
        self._storing = DatabaseThreads("storing", 1, _STORE_SECONDS)
        self._domains = DomainCache(domain_snapshot, self._lookups, self._is_deaf)
        self._routes = RouteListener(self._domains.drop, self._domains.drop_all)
        self._reporter = DatabaseReporter()
        self._committer = Committer(store, limits, ring)
        self._inspector = Inspector.from_settings()
        self._counts = hygiene.shared_counts()
        names = OwnNames.of(env.service_domain, env.forward_domain, env.operator_email)
        inbound = Inbound(
            desk=RecipientDesk(
                names, self._domains, ReturnPaths(self._lookups), self._reporter, env.srs_secrets
            ),
            keeper=QueueKeeper(self._committer, self._storing),
            refusals=Refusals(self._reporter),
            limits=limits,
            marker_keys=marker_keys,
            inspector=self._inspector,
            has_room=_room_of(env),
            held_room=HeldRoom(held_octets, self._lookups, env.held_max_octets),
        )
        self.listener = Listener(
            hostname=env.service_domain,
            inbound=inbound,
            limits=limits,
            tls=server_context(
                env.tls_cert,
                env.tls_key,
                hostname=env.service_domain,
                keys_folder=DataFolder(env.data_dir).keys,
            ),
            loop=asyncio.get_running_loop(),
            doorkeeper=hygiene.doorkeeper(
                env,
                limits,
                counts=self._counts,
                threads=self._lookups,
                reporter=self._reporter,
                verifier=self._inspector.verifier,
            ),
            proxies=hygiene.proxies(env),
        )

    def _is_deaf(self) -> bool:
        return self._routes.is_deaf()

    async def stop(self) -> None:
        """What was accepted is committed, what was refused is written down; then threads end."""
        await self._committer.stop()
        self._routes.stop()
        self._inspector.close()
        self._lookups.stop()
        self._storing.stop()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._counts.stop, 2.0)
        await loop.run_in_executor(None, self._reporter.stop, 5.0)


async def serve(
    *,
    limits: Limits | None = None,
    store: MessageStore | None = None,
    ring: Callable[[], None] = bell.ring,
) -> None:
    """Listen until SIGTERM or SIGINT, then drain."""
    env = settings.ENV
    loop = asyncio.get_running_loop()
    going = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, going.set)
    await loop.run_in_executor(None, _check_data_key)
    edge = Edge(env, limits or limits_of(env), store or MessageStore(), ring)
    server = await loop.create_server(
        lambda: MxSession(edge.listener),
        env.mx_listen.host,
        env.mx_listen.port,
        reuse_port=True,
        backlog=_BACKLOG,
    )
    sweeper = asyncio.create_task(edge.listener.sweep())
    sweeper.add_done_callback(lambda _: going.set())  # without it nobody's time would ever be over
    port = server.sockets[0].getsockname()[1]
    log.info("edge.listening", host=env.mx_listen.host, port=port, pid=os.getpid())
    await going.wait()
    log.info("edge.draining")
    server.close()
    await edge.listener.drain()
    has_died = not sweeper.cancel()
    (fault,) = await asyncio.gather(sweeper, return_exceptions=True)
    await edge.stop()
    if has_died:
        log.error("edge.sweeper_died", exc_info=fault)
        sys.exit(os.EX_SOFTWARE)
    log.info("edge.ended")


def _check_data_key() -> None:
    """A wrong key refuses to start: it never bounces mail. A database may come back later."""
    from django.db import connection

    from smtp_edge.store import AWAY

    try:
        prove_data_key()
    except AWAY as error:
        log.warning("edge.database_away", error=type(error).__name__)
    finally:
        connection.close()
