"""What answers on the network: broker, edge, resolver, smarthost."""

import asyncio
import socket
from typing import Final

from django.conf import settings
from kombu.connection import Connection
from kombu.exceptions import OperationalError as BrokerError

from mxax.env import HostPort
from ops.doctor.finding import Finding, error, ok, warning
from routing.checks import configured_resolver
from routing.resolver import TxtOutcome
from tenants.claims import challenge_name

SECONDS: Final = 3.0


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
    greeting = _greeting(where)
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
        cure = "set MXAX_SMARTHOST=host:port"
        return error("smarthost", "direct delivery is not possible yet", cure)
    if env.catches_mail:
        cure = "set MXAX_SMARTHOST=host:port to send mail into the world"
        return warning("smarthost", "the catcher keeps all outgoing mail", cure)
    if _greeting(env.smarthost) is None:
        cure = "correct MXAX_SMARTHOST or start it; until then mail waits in the queue"
        return error("smarthost", f"{env.smarthost} does not answer", cure)
    return ok("smarthost", f"{env.smarthost} answers")


def _greeting(where: HostPort) -> str | None:
    """The first line that an SMTP server says; None when there is none in time."""
    try:
        with socket.create_connection((where.host, where.port), SECONDS) as client:
            client.settimeout(SECONDS)
            line = client.makefile("rb").readline(512)
            client.sendall(b"QUIT\r\n")
    except OSError:
        return None
    return line.decode("ascii", "replace").strip()
