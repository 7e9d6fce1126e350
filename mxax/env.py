"""Every setting of the installation: declared once, read from the environment once, typed.

`read_environment` turns variables into one frozen `Environment` and raises `SettingError`, one line
with the cure, for what it cannot use. `environment` is what everything in the project calls: it
also finds (or makes) the secrets in the data folder, and finds the embedded service that runs
there. Secrets may come from a file: NAME_FILE. docs/settings.md and .env.example list the same.
"""

# ruff: noqa: RUF009 - setting() is dataclasses.field with our declaration as its metadata

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mxax import setting_values as values
from mxax.data_folder import cure_of
from mxax.declarations import Setting, declared_in, read_values, setting
from mxax.keys import ensure_secrets
from mxax.local_service import (
    PROJECT,
    given_in_environment,
    local_environment,
    with_local,
)
from mxax.setting_values import HostPort, Network, SettingError
from mxax.trust_settings import TrustSettings

__all__ = [
    "Environment",
    "HostPort",
    "Setting",
    "SettingError",
    "declared_settings",
    "ensure_secrets",
    "environment",
    "local_environment",
    "read_environment",
]

# Set for our own processes by the launcher and the entry points, not by people.
INTERNAL_NAMES = frozenset({"MXAX_EMBEDDED", "MXAX_DATABASE_ROLE"})


def _cores() -> int:
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def _web_address(given: Mapping[str, Any]) -> str:
    return f"http://{given['web_listen'].reachable()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment(TrustSettings):
    """What the operator chose. A setting without a value is None (or an empty tuple)."""

    data_dir: Path = setting(
        "MXAX_DATA_DIR",
        values.parse_path,
        "embedded database, broker, caught mail, keys",
        derive=lambda _: str(PROJECT / "var"),
        shown="var",
    )
    database_url: str = setting(
        "DATABASE_URL",
        values.parse_database_url,
        "PostgreSQL 15 or later: postgresql://user:password@host:5432/name",
        shown="embedded",
        unset="",
        secret=True,
    )
    celery_broker_url: str = setting(
        "CELERY_BROKER_URL",
        values.parse_broker_url,
        "RabbitMQ (amqp://…) or Valkey (redis://…)",
        shown="embedded",
        unset="",
        secret=True,
    )
    database_admin_url: str = setting(
        "MXAX_DATABASE_ADMIN_URL",
        values.parse_database_url,
        "a superuser's URL, only for `manage.py prepare`, which makes the roles with it",
        shown="embedded",
        unset="",
        secret=True,
    )
    database_roles: bool = setting(
        "MXAX_DATABASE_ROLES",
        values.parse_bool,
        "each process takes its own database role; off where the database forbids roles",
        default="on",
    )
    service_domain: str = setting(
        "MXAX_SERVICE_DOMAIN",
        values.parse_domain,
        "our own name: HELO, account mail",
        default="mxax.test",
    )
    forward_domain: str = setting(
        "MXAX_FORWARD_DOMAIN",
        values.parse_domain,
        "our name on forwarded mail: SRS, DKIM, ARC",
        derive=lambda given: f"fwd.{given['service_domain']}",
        shown="fwd.<service>",
    )
    operator_email: str = setting(
        "MXAX_OPERATOR_EMAIL",
        values.parse_email,
        "gets postmaster@ and abuse@ of our own names, and alerts",
        unset="",
    )
    web_listen: HostPort = setting(
        "MXAX_WEB_LISTEN", values.parse_listen, "panel, admin, API", default="127.0.0.1:8000"
    )
    panel_url: str = setting(
        "MXAX_PANEL_URL",
        values.parse_web_url,
        "links in mail",
        derive=_web_address,
        shown="from the web address",
    )
    metrics_listen: HostPort = setting(
        "MXAX_METRICS_LISTEN", values.parse_listen, "Prometheus", default="127.0.0.1:9100"
    )
    mx_listen: HostPort = setting(
        "MXAX_MX_LISTEN", values.parse_listen, "MX", default="127.0.0.1:2525"
    )
    submission_listen: HostPort = setting(
        "MXAX_SUBMISSION_LISTEN",
        values.parse_listen,
        "submission with STARTTLS",
        default="127.0.0.1:2587",
    )
    submissions_listen: HostPort = setting(
        "MXAX_SUBMISSIONS_LISTEN",
        values.parse_listen,
        "submission with implicit TLS",
        default="127.0.0.1:2465",
    )
    failover_listen: HostPort = setting(
        "MXAX_FAILOVER_LISTEN", values.parse_listen, "failover MX", default="127.0.0.1:2527"
    )
    catcher_listen: HostPort = setting(
        "MXAX_CATCHER_LISTEN",
        values.parse_listen,
        "the catcher, which keeps outgoing mail in the data folder",
        default="127.0.0.1:2528",
    )
    smarthost: HostPort | None = setting(
        "MXAX_SMARTHOST",
        values.parse_smarthost,
        "`host:port` that takes all outgoing mail; `direct` = MX look-up",
        derive=lambda given: str(given["catcher_listen"].reachable()),
        shown="the catcher",
    )
    dns_servers: tuple[HostPort, ...] = setting(
        "MXAX_DNS_SERVERS",
        values.parse_resolvers,
        "`ip:port[,…]` resolvers",
        shown="system",
        unset=(),
    )
    next_hop_port: int = setting(
        "MXAX_NEXT_HOP_PORT",
        values.parse_port,
        "port of next hops, for tests and private networks",
        default="25",
    )
    allow_private_next_hops: bool = setting(
        "MXAX_ALLOW_PRIVATE_NEXT_HOPS",
        values.parse_bool,
        "direct delivery may connect to private addresses",
        default="off",
    )
    authoritative_port: int = setting(
        "MXAX_AUTHORITATIVE_PORT",
        values.parse_port,
        "port of authoritative DNS servers, for tests and private networks",
        default="53",
    )
    tls_cert: Path | None = setting(
        "MXAX_TLS_CERT",
        values.parse_file,
        "certificate chain (PEM) of the SMTP listeners",
        shown="self-made",
    )
    tls_key: Path | None = setting(
        "MXAX_TLS_KEY", values.parse_file, "its private key (PEM)", shown="self-made"
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "MXAX_TRUSTED_PROXIES",
        values.parse_networks,
        "addresses and networks that may speak PROXY, or name the client in X-Forwarded-For",
        shown="none",
        unset=(),
    )
    edge_processes: int = setting(
        "MXAX_EDGE_PROCESSES",
        values.parse_positive,
        "processes that receive mail",
        derive=lambda _: str(max(1, _cores() // 2)),
        shown="half the cores",
    )
    worker_processes: int = setting(
        "MXAX_WORKER_PROCESSES",
        values.parse_positive,
        "processes that send mail",
        derive=lambda _: str(min(8, _cores())),
        shown="the cores, at most 8",
    )
    sign_up: bool = setting(
        "MXAX_SIGN_UP",
        values.parse_bool,
        "anybody may make an account; people who are invited always may",
        default="off",
    )
    forward_cap_per_day: int = setting(
        "MXAX_FORWARD_CAP_PER_DAY",
        values.parse_positive,
        "messages a tenant may forward in 24 hours",
        default="5000",
    )
    max_message_octets: int = setting(
        "MXAX_MAX_MESSAGE_OCTETS",
        values.parse_positive,
        "largest message accepted (SIZE)",
        default="52428800",
    )
    client_connections: int = setting(
        "MXAX_CLIENT_CONNECTIONS",
        values.parse_positive,
        "concurrent SMTP connections from one client",
        default="50",
    )
    free_space_floor: int | None = setting(
        "MXAX_FREE_SPACE_FLOOR",
        values.parse_positive,
        "octets: with less free on the embedded database's disk, mail is answered 452 4.3.1",
        shown="2 GB, or 5 % of the disk where that is less",
    )
    data_keys: tuple[bytes, ...] = setting(
        "MXAX_DATA_KEY",
        values.parse_data_keys,
        "encrypts stored content and secrets: 32 octets in base64; older keys after a comma",
        unset=(),
        shown="made in the data folder",
        secret=True,
    )
    srs_secrets: tuple[bytes, ...] = setting(
        "MXAX_SRS_SECRETS",
        values.parse_srs_secrets,
        "sign rewritten reverse-paths, newest first",
        unset=(),
        shown="made in the data folder",
        secret=True,
    )
    secret_key: str = setting(
        "MXAX_SECRET_KEY",
        values.parse_secret_key,
        "signs sessions and links",
        unset="",
        shown="made in the data folder",
        secret=True,
    )
    log_level: str = setting(
        "MXAX_LOG_LEVEL",
        values.one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        "lowest level that is logged",
        default="INFO",
    )
    log_format: str = setting(
        "MXAX_LOG_FORMAT",
        values.one_of("json", "console"),
        "one JSON object per line, or lines for people: json or console",
        default="json",
    )
    postgres_bin: Path | None = setting(
        "MXAX_POSTGRES_BIN",
        values.parse_path,
        "folder with the programs of the PostgreSQL to embed",
        shown="the wheel's, then Debian's",
    )
    debug: bool = setting(
        "MXAX_DEBUG",
        values.parse_bool,
        "tracebacks on pages: never in production",
        default="off",
    )
    embedded: bool = field(default=False)  # the launcher runs the database of this data folder

    @property
    def base_dir(self) -> Path:
        """The checkout: where templates/, static/ and manage.py are."""
        return PROJECT

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host fields that the web process answers to."""
        panel = urlsplit(self.panel_url).hostname or ""
        return tuple(dict.fromkeys((panel, "localhost", "127.0.0.1", "[::1]")))

    @property
    def catches_mail(self) -> bool:
        """All outgoing mail goes to the bundled catcher: nothing leaves the machine."""
        return self.smarthost == self.catcher_listen.reachable()


def declared_settings() -> tuple[Setting, ...]:
    """In the order of the documentation: those of trust come last."""
    every, trust = declared_in(Environment), declared_in(TrustSettings)
    return (*(one for name, one in every.items() if name not in trust), *trust.values())


def read_environment(environ: Mapping[str, str]) -> Environment:
    """The settings in these variables; an empty one counts as unset. Raises `SettingError`."""
    given = read_values(Environment, environ, internal=INTERNAL_NAMES)
    chosen = Environment(embedded=environ.get("MXAX_EMBEDDED") == "1", **given)
    if (chosen.tls_cert is None) != (chosen.tls_key is None):
        raise SettingError("MXAX_TLS_CERT and MXAX_TLS_KEY belong together: set both or neither")
    if chosen.forward_domain == chosen.service_domain:
        raise SettingError("MXAX_FORWARD_DOMAIN must differ from MXAX_SERVICE_DOMAIN")
    if chosen.smarthost and not chosen.smarthost.port and not chosen.catches_mail:
        raise SettingError(f"MXAX_SMARTHOST={chosen.smarthost}: needs a port from 1 to 65535")
    return chosen


@functools.cache
def environment() -> Environment:
    """The settings of this process, read once. Makes the secrets that are not there yet."""
    names = tuple(setting.name for setting in declared_settings())
    given = given_in_environment(os.environ)
    chosen = read_environment(given)
    own = frozenset(name.removesuffix("_FILE") for name in given)
    try:
        ensure_secrets(chosen.data_dir, given=own)
        return read_environment(with_local(given, chosen.data_dir, names))
    except OSError as wrong:
        raise SettingError(cure_of(wrong)) from None
