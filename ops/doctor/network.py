"""What answers on the network: broker, edge, resolver, smarthost."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from django.conf import settings
from kombu.connection import Connection
from kombu.exceptions import OperationalError as BrokerError

from delivery.health import proxy_line
from delivery.lookups import Lookup, resolver_from_settings
from mxax.env import HostPort
from ops.doctor.finding import Finding, error, ok, warning
from routing.checks import configured_resolver
from routing.resolver import TxtOutcome
from tenants.claims import challenge_name

SECONDS: Final = 3.0
_PORT_ADVICE: Final = "many providers close outgoing port 25 until they are asked"
_DIRECT_CURE: Final = (
    "give the name an A record with the address that mail leaves from, and let the provider of the "
    f"address point its reverse name (PTR) back; {_PORT_ADVICE}"
)


def check_broker() -> Finding:
    """Without it mail still flows, by the workers' own timer."""
    broker = Connection(settings.ENV.celery_broker_url, connect_timeout=SECONDS)
    try:
        broker.ensure_connection(max_retries=1, timeout=SECONDS, reraise_as_library_errors=True)
    except (BrokerError, OSError):
        cure = "start it or correct CELERY_BROKER_URL; until then mail waits up to 5 s longer"
        return error("broker", f"{broker.as_uri()} does not answer", cure)
    finally:
        broker.release()
    return ok("broker", broker.as_uri())


def check_edge() -> Finding:
    """The MX greets on its port."""
    where = settings.ENV.mx_listen.reachable()
    greeting = _greeting(where, first=proxy_line)
    if greeting is None:
        return error("edge", f"{where} does not answer", "start the service (`make run`)")
    if not greeting.startswith("220"):
        return error("edge", f"{where} says {greeting!r}", "look at the edge's log")
    return ok("edge", f"{where} answers")


def check_resolver() -> Finding:
    """Some resolver answers, be it with "no such name"."""
    name = challenge_name(settings.ENV.service_domain)
    answer = asyncio.run(configured_resolver().look_up(name))
    if answer.outcome is TxtOutcome.UNKNOWN:
        cure = "correct MXAX_DNS_SERVERS or the system's resolvers; until then no domain is proved"
        return warning("resolver", f"no usable answer ({answer.detail})", cure)
    return ok("resolver", "answers")


def check_smarthost() -> Finding:
    """Where outgoing mail goes."""
    env = settings.ENV
    if env.smarthost is None:
        return check_direct()
    if env.catches_mail:
        cure = "set MXAX_SMARTHOST=host:port to send mail into the world"
        return warning("smarthost", "the catcher keeps all outgoing mail", cure)
    if _greeting(env.smarthost) is None:
        cure = "correct MXAX_SMARTHOST or start it; until then mail waits in the queue"
        return error("smarthost", f"{env.smarthost} does not answer", cure)
    return ok("smarthost", f"{env.smarthost} answers")


def check_direct() -> Finding:
    """Whether the world will take mail from us; only DNS is asked, nothing is sent to anyone."""
    name = settings.ENV.service_domain
    if settings.ENV.allow_private_next_hops:
        cure = "unset MXAX_ALLOW_PRIVATE_NEXT_HOPS: who names a destination can reach your network"
        return warning("direct delivery", "mail may go to private addresses", cure)
    trouble = asyncio.run(_reverse_names(resolver_from_settings(), name))
    if trouble:
        return warning("direct delivery", trouble, _DIRECT_CURE)
    return ok("direct delivery", f"{name} and its addresses name each other; {_PORT_ADVICE}")


async def _reverse_names(lookup: Lookup, name: str) -> str:
    """What is wrong with the names of our addresses: large receivers refuse mail then."""
    four, six = await asyncio.gather(lookup.addresses(name, "A"), lookup.addresses(name, "AAAA"))
    addresses = four.records + six.records
    if not addresses:
        return f"{name}, which we greet with, has no address in DNS"
    for address in addresses:
        reverse = ipaddress.ip_address(address).reverse_pointer
        found = await lookup.ptr(reverse)
        if name not in found.records:
            known = ", ".join(found.records) or "nothing"
            return f"the reverse name of {address} is {known}, not {name}"
    return ""


def _greeting(
    where: HostPort, *, first: Callable[[socket.socket], bytes] = lambda _: b""
) -> str | None:
    """The first line that an SMTP server says, after ours; None when there is none in time."""
    try:
        with socket.create_connection((where.host, where.port), SECONDS) as client:
            client.settimeout(SECONDS)
            client.sendall(first(client))
            line = client.makefile("rb").readline(512)
            client.sendall(b"QUIT\r\n")
    except OSError:
        return None
    return line.decode("ascii", "replace").strip()
