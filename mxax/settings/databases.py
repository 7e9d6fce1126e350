"""The database connection of this process, in the role it works under."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mxax.env import Environment, SettingError


def databases(env: Environment, *, role: str) -> dict[str, dict[str, Any]]:
    """Django's DATABASES from `DATABASE_URL`; raises SettingError when there is none."""
    if not env.database_url:
        raise SettingError(
            "no database: start the embedded one with `make run`, or set DATABASE_URL"
        )
    url = urlsplit(env.database_url)
    options: dict[str, Any] = dict(parse_qsl(url.query))
    options.setdefault("connect_timeout", "5")
    # A vanished server is noticed, also by who has asked and waits: that takes probes.
    options.setdefault("tcp_user_timeout", "20000")
    options.setdefault("keepalives_idle", "10")
    options.setdefault("keepalives_interval", "5")
    options.setdefault("application_name", role)
    if env.database_roles:
        options["assume_role"] = role
    return {
        "default": {
            "ENGINE": "mxax.postgres",
            "NAME": unquote(url.path.lstrip("/")),
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": url.hostname or "",
            "PORT": str(url.port or ""),
            "CONN_MAX_AGE": 0,
            "OPTIONS": options,
        }
    }
