"""This machine and its settings: workers, clock, disk, certificate, names."""

import shutil
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from django.conf import settings

from delivery.models import WorkerHeartbeat
from delivery.retention import LAG_SECONDS, longest_wait
from delivery.story_text import duration_text
from ops.doctor.finding import Finding, error, ok, warning
from tenants.clock import database_now
from tenants.models import ClaimedDomain

HEARTBEAT_IS_ALIVE: Final = timedelta(seconds=15)
CLOCK_MAY_DIFFER: Final = timedelta(seconds=2)
CLOCK_MUST_NOT_DIFFER: Final = timedelta(seconds=60)
FLOOR_OCTETS: Final = 2 * 2**30
FLOOR_SHARE: Final = 0.05
CERTIFICATE_SOON: Final = timedelta(days=14)


def check_workers() -> Finding:
    """A sending loop gave a sign of life."""
    now = database_now()
    alive = WorkerHeartbeat.objects.filter(at__gt=now - HEARTBEAT_IS_ALIVE).count()
    if not alive:
        last = WorkerHeartbeat.objects.order_by("-at").first()
        seen = f"the last sign of life is of {last.at:%Y-%m-%d %H:%M:%S}" if last else "none yet"
        return error("workers", seen, "start the service (`make run`); mail waits in the queue")
    return ok("workers", f"{alive} alive")


def check_retention() -> Finding:
    """Every tenant's log was brought down to what his policy keeps, lately."""
    seconds, slug = longest_wait()
    if seconds > LAG_SECONDS:
        seen = f"{slug} waits for {duration_text(seconds)}"
        return error("retention", seen, "start the workers and beat; or run `manage.py retention`")
    return ok("retention", "applied to every tenant within the hour")


def check_clock() -> Finding:
    """This machine and the database agree about the time."""
    before = time.time()
    theirs = database_now()
    difference = abs(theirs - datetime.fromtimestamp((before + time.time()) / 2, UTC))
    seen = f"{difference.total_seconds():.1f} s from the database's"
    cure = "let both machines follow NTP: SRS addresses and certificates depend on it"
    if difference > CLOCK_MUST_NOT_DIFFER:
        return error("clock", seen, cure)
    if difference > CLOCK_MAY_DIFFER:
        return warning("clock", seen, cure)
    return ok("clock", seen)


def check_disk() -> Finding:
    """Room for what is accepted; below the floor the edge answers 452."""
    usage = shutil.disk_usage(settings.ENV.data_dir)
    floor = min(FLOOR_OCTETS, int(usage.total * FLOOR_SHARE))
    seen = f"{usage.free / 2**30:.1f} GiB free at {settings.ENV.data_dir}"
    if usage.free < floor:
        return error("disk", seen, f"free some: below {floor / 2**30:.1f} GiB mail is refused")
    if usage.free < 2 * floor:
        return warning("disk", seen, "free some soon")
    return ok("disk", seen)


def check_certificate() -> Finding:
    """The listeners' certificate is there, matches its key and is valid for a while."""
    env = settings.ENV
    if env.tls_cert is None or env.tls_key is None:
        cure = "set MXAX_TLS_CERT and MXAX_TLS_KEY: self-made ones are not verified by anybody"
        return warning("certificate", "self-made", cure)
    cure = "renew it, then start the service again"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(env.tls_cert, env.tls_key)
        leaf = x509.load_pem_x509_certificate(env.tls_cert.read_bytes())
    except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
        return error("certificate", f"cannot be used ({fault})", cure)
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    seen = f"valid until {leaf.not_valid_after_utc:%Y-%m-%d}"
    if left < timedelta(0):
        return error("certificate", seen, cure)
    return (
        warning("certificate", seen, cure) if left < CERTIFICATE_SOON else ok("certificate", seen)
    )


def check_names() -> Iterator[Finding]:
    """Our own names, and whoever hosts the domain above them."""
    env = settings.ENV
    own = (env.service_domain, env.forward_domain)
    if not env.operator_email:
        cure = "set MXAX_OPERATOR_EMAIL: nobody reads postmaster@ and abuse@ of our own names"
        yield warning("operator", "no address", cure)
    if env.service_domain.endswith((".test", ".example", ".invalid", ".localhost")):
        cure = "set MXAX_SERVICE_DOMAIN to a name of yours before real mail flows"
        yield warning("own names", f"{env.service_domain} is for trying out", cure)
    else:
        yield ok("own names", ", ".join(own))
    for name in _hosted_above(own):
        cure = (
            f'publish _dmarc.{name} with "adkim=s; aspf=s", or set MXAX_FORWARD_DOMAIN to a name '
            "that is not below it"
        )
        yield warning("alignment", f"{name} is hosted here and stands above our own names", cure)


def _hosted_above(own: tuple[str, ...]) -> list[str]:
    above = {name.split(".", part)[part] for name in own for part in range(1, name.count(".") + 1)}
    verified = ClaimedDomain.objects.filter(state=ClaimedDomain.State.VERIFIED, name__in=above)
    return list(verified.values_list("name", flat=True))
