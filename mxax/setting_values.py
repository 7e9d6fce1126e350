"""Values that settings can have, and the parsers that make them from text.

A parser takes the text of one variable and returns a value or raises `ValueError` whose text is
the cure ("needs host:port, for example 127.0.0.1:8000"). No Django and nothing heavy here: the
launcher, which must stay small, reads these too.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, never bound

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingError(Exception):
    """A setting is wrong or missing; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host (name or address) and a TCP or UDP port; prints as `host:port` or `[v6]:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def reachable(self) -> HostPort:
        """The same for a client on this machine: a wildcard address becomes loopback."""
        return HostPort(_WILDCARD_HOSTS.get(self.host, self.host), self.port)


def parse_path(text: str) -> Path:
    """An absolute path; a relative one counts from the working directory."""
    return Path(text).expanduser().absolute()


def parse_file(text: str) -> Path:
    path = parse_path(text)
    if not path.is_file():
        raise ValueError("is not a file that can be read: correct the path or unset it")
    return path


def parse_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("on", "yes", "true", "1"):
        return True
    if lowered in ("off", "no", "false", "0"):
        return False
    raise ValueError("needs on or off")


def parse_positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError("needs a whole number above 0")
    return int(text)


def parse_whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("needs a whole number, 0 or above")
    return int(text)


def parse_port(text: str, *, lowest: int = 1) -> int:
    if not (text.isascii() and text.isdigit()) or not lowest <= int(text) <= 65535:
        raise ValueError(f"needs a port from {lowest} to 65535")
    return int(text)


def parse_listen(text: str) -> HostPort:
    """Where a listener binds: an IP address and a port; port 0 takes any free one."""
    cure = "needs an IP address and a port, for example 127.0.0.1:2525 or [::1]:2525"
    return _with_address(_split_host_port(text, lowest=0, cure=cure), cure)


def parse_host_port(text: str) -> HostPort:
    return _split_host_port(text, lowest=1)


def parse_smarthost(text: str) -> HostPort | None:
    """The host that takes all outgoing mail; None for `direct` (MX look-up)."""
    # Port 0 comes from a catcher that takes any free port, until the launcher has chosen it.
    return None if text.lower() == "direct" else _split_host_port(text, lowest=0)


def _with_address(where: HostPort, cure: str) -> HostPort:
    """The same where its host is an IP address; raises `ValueError` with the cure."""
    try:
        ipaddress.ip_address(where.host)
    except ValueError:
        raise ValueError(cure) from None
    return where


def _split_host_port(
    text: str,
    *,
    lowest: int,
    cure: str = "needs host:port, for example 127.0.0.1:2525 or [::1]:2525",
) -> HostPort:
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host and not bracketed) or re.search(r"[\s/@]", host):
        raise ValueError(cure)
    return HostPort(host, parse_port(port, lowest=lowest))


def parse_resolvers(text: str) -> tuple[HostPort, ...]:
    """DNS servers as `ip` or `ip:port`, separated by commas; the port defaults to 53."""
    return tuple(_resolver(part) for part in _parts(text))


def _resolver(text: str) -> HostPort:
    cure = "needs IP addresses, for example 127.0.0.1:53,[::1]:53"
    try:
        return HostPort(str(ipaddress.ip_address(text)), 53)
    except ValueError:
        return _with_address(_split_host_port(text, lowest=1, cure=cure), cure)


def parse_scanners(text: str) -> tuple[HostPort | Path, ...]:
    """Where a scanner listens, one or several: `host:port`, or the path of a socket."""
    return tuple(Path(part) if part.startswith("/") else _scanner(part) for part in _parts(text))


def _scanner(text: str) -> HostPort:
    try:
        return parse_host_port(text)
    except ValueError:
        raise ValueError(
            "needs host:port or the path of a socket, several separated by commas"
        ) from None


def parse_dotted_paths(text: str) -> tuple[str, ...]:
    """Names in modules, as Django's settings have them; what is there is seen at the start."""
    paths = tuple(_parts(text))
    if not all("." in path and all(map(str.isidentifier, path.split("."))) for path in paths):
        raise ValueError("needs dotted paths, for example mychecks.Invoices,mychecks.Night")
    return paths


def parse_networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in _parts(text))
    except ValueError as wrong:
        raise ValueError(f"needs addresses or networks such as 10.0.0.0/8 ({wrong})") from None


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]


def parse_networks_or_none(text: str) -> tuple[Network, ...]:
    """Networks, or none of them for the word `none`."""
    return () if text.lower() == "none" else parse_networks(text)


def parse_domain(text: str) -> str:
    """A domain as lower-case A-labels."""
    name = text.rstrip(".").lower()
    if not name.isascii():
        name = _a_labels(name)
    labels = name.split(".")
    well_formed = all(_LABEL.fullmatch(label) for label in labels)
    if len(labels) < 2 or len(name) > 253 or not well_formed or labels[-1].isdigit():
        raise ValueError("needs a domain with a dot, for example mail.example.org")
    return name


def parse_domains(text: str) -> tuple[str, ...]:
    """Domains separated by commas, each as lower-case A-labels."""
    return tuple(parse_domain(part) for part in _parts(text))


def _a_labels(name: str) -> str:
    import idna  # only for names that are not ASCII: its tables cost memory

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as wrong:
        raise ValueError(f"is not a domain ({wrong})") from None


def parse_email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at or not local or re.search(r"[\s<>,;]", local):
        raise ValueError("needs an address, for example you@example.org")
    return f"{local}@{parse_domain(domain)}"


def parse_web_url(text: str) -> str:
    """An http(s) URL of a whole site, without the slash at its end."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("needs a URL, for example https://panel.example.org")
    return text.rstrip("/")


def parse_database_url(text: str) -> str:
    cure = "needs postgresql://user:password@host:5432/name"
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when it is not a number
    except ValueError:
        raise ValueError(cure) from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ValueError(cure)
    return text


def parse_broker_url(text: str) -> str:
    if urlsplit(text).scheme not in ("redis", "rediss", "amqp", "amqps"):
        raise ValueError("needs redis://:password@host:6379/0 or amqp://user:password@host:5672//")
    return text


def parse_data_keys(text: str) -> tuple[bytes, ...]:
    """The current key first: it seals; all of them open."""
    keys = tuple(_parse_data_key(part) for part in _parts(text))
    if not keys:
        raise ValueError("needs 32 random octets in base64 (openssl rand -base64 32)")
    return keys


def _parse_data_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ValueError("needs 32 random octets in base64 (openssl rand -base64 32)")
    return key


def parse_srs_secrets(text: str) -> tuple[bytes, ...]:
    """The newest first: it signs; all of them verify."""
    secrets = tuple(part.encode() for part in _parts(text))
    if not secrets or any(len(secret) < 16 for secret in secrets):
        raise ValueError("needs one or more secrets of 16 characters or more, newest first")
    return secrets


def parse_secret_key(text: str) -> str:
    if len(text) < 32:
        raise ValueError("needs 32 random characters or more (openssl rand -hex 32)")
    return text


def one_of(*allowed: str) -> Callable[[str], str]:
    """A parser that takes one of the words, in any case, and gives it as it is written here."""

    def parse(text: str) -> str:
        for word in allowed:
            if text.lower() == word.lower():
                return word
        raise ValueError("needs one of " + ", ".join(allowed))

    return parse
