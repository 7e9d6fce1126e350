"""Records as people type them at their provider, and as lines of a zone file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tenants.claims import organisational_domain

STRING_OCTETS: Final = 255
TTL_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class ProviderFields:
    """A record in the parts that providers' forms ask for."""

    host: str
    """The name within the zone, `@` for the zone itself."""
    zone: str
    priority: str = ""
    target: str = ""
    strings: tuple[str, ...] = ()
    """The value in quoted pieces, where it is too long for one."""


def provider_fields(name: str, type: str, value: str) -> ProviderFields:
    """`zone` is the registered domain: where people usually have their zone."""
    zone = organisational_domain(name)
    host = "@" if name == zone else name.removesuffix(f".{zone}")
    if type == "MX":
        priority, _, target = value.partition(" ")
        return ProviderFields(host, zone, priority, target.rstrip("."))
    pieces = character_strings(value)
    return ProviderFields(host, zone, strings=pieces if len(pieces) > 1 else ())


def character_strings(text: str) -> tuple[str, ...]:
    """Pieces of at most 255 octets (RFC 1035, 3.3.14), quoted."""
    pieces = [text[at : at + STRING_OCTETS] for at in range(0, len(text), STRING_OCTETS)]
    return tuple(f'"{_escaped(piece)}"' for piece in pieces)


def zone_line(name: str, type: str, value: str) -> str:
    """A record as it stands in a zone file (RFC 1035, 5.1)."""
    data = " ".join(character_strings(value)) if type == "TXT" else value
    return f"{name}. {TTL_SECONDS} IN {type} {data}"


def zone_file(domain: str, records: Sequence[tuple[str, str, str, str]], remark: str) -> str:
    """The records (name, type, value, why) as a snippet, each under its comment."""
    lines = [f"; Records of {domain}. {remark}"]
    for name, type, value, why in records:
        lines += [f"; {why}", zone_line(name, type, value)]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Quoting for a zone file; what is not printable ASCII as \\DDD."""
    return "".join(
        f"\\{c}" if c in '"\\' else c if " " <= c <= "~" else f"\\{ord(c) & 0xFF:03d}" for c in text
    )
