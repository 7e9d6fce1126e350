"""Is the service ready: database writable, the edge answers, the sending loops live.

| check | ready means |
|---|---|
| database | a record of the write-ahead log was written and synced |
| edge | it answered a RCPT for our own postmaster with something else than "try later" |
| workers | a sending loop gave a sign of life within 15 s |
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from django.conf import settings
from django.db import DatabaseError, connection

HEARTBEAT_SECONDS = 15
EDGE_SECONDS = 5.0
# Costs 60 octets of the log and no row; a standby and a full disk refuse it.
_WRITE = "SELECT pg_logical_emit_message(true, 'mxax', 'ready')"
_YOUNGEST = """
    SELECT extract(epoch FROM clock_timestamp() - max(at))::float,
           count(*) FILTER (WHERE at > clock_timestamp() - make_interval(secs => %s))
    FROM public.delivery_workerheartbeat
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the service and how it is; `detail` is fit for strangers."""

    name: str
    ok: bool
    detail: str


def check_all() -> tuple[Check, ...]:
    """Every check, in order; one that cannot be made counts as not ready."""
    return (
        _checked("database", _database),
        _checked("edge", _edge),
        _checked("workers", _workers),
    )


def _checked(name: str, ask: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *ask())
    except DatabaseError:
        return Check(name, False, "the database is away, or takes no writes")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or "no answer in time"
        return Check(name, False, f"does not answer ({why.lower()})")


def _database() -> tuple[bool, str]:
    with connection.cursor() as cursor:
        cursor.execute(_WRITE)
    return True, "takes writes"


def _workers() -> tuple[bool, str]:
    with connection.cursor() as cursor:
        cursor.execute(_YOUNGEST, [HEARTBEAT_SECONDS])
        age, alive = cursor.fetchone()
    if alive:
        return True, "1 sending loop lives" if alive == 1 else f"{alive} sending loops live"
    return False, "no sign of life yet" if age is None else f"last sign of life {age:.0f} s ago"


def _edge() -> tuple[bool, str]:
    reply = probe_edge(settings.ENV.mx_listen.reachable(), settings.ENV.service_domain)
    # Refusing is an answer too: a small install may have no operator's address.
    ready = reply[:1] in ("2", "5") or reply.startswith("450")
    return ready, "answers" if ready else f"says {reply[:3]}"


def probe_edge(where: object, service_domain: str) -> str:
    """The reply to a RCPT for our postmaster, code first. Raises OSError, ValueError."""
    address = (where.host, where.port)  # type: ignore[attr-defined]
    dialogue = (f"EHLO {service_domain}", "MAIL FROM:<>", f"RCPT TO:<postmaster@{service_domain}>")
    with socket.create_connection(address, timeout=EDGE_SECONDS) as client:
        client.settimeout(EDGE_SECONDS)
        client.sendall(proxy_line(client))
        with client.makefile("rb") as replies:
            reply = _reply(replies.readline)
            for command in dialogue:
                if not reply.startswith("2"):
                    return reply
                client.sendall(f"{command}\r\n".encode())
                reply = _reply(replies.readline)
            client.sendall(b"QUIT\r\n")
            return reply


def proxy_line(client: socket.socket) -> bytes:
    """What the edge hears first from a peer that it takes for one of its proxies; else nothing."""
    own_address = ip_address(client.getsockname()[0])
    chosen = getattr(settings.ENV, "smtp_proxies", None)
    proxies = settings.ENV.trusted_proxies if chosen is None else chosen
    is_proxy = any(own_address in network for network in proxies)
    return b"PROXY UNKNOWN\r\n" if is_proxy else b""


def _reply(readline: Callable[[int], bytes]) -> str:
    """One reply, its last line. Raises ValueError where the client hears no SMTP."""
    for _ in range(100):
        line = readline(1000).decode("ascii", "replace")
        if not line[:3].isdigit():
            raise ValueError("not a reply")
        if line[3:4] != "-":
            return line.strip()
    raise ValueError("a reply without end")
