"""DNS records of our own names, as values and zone lines; customers' are in routing.records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mail.signing import dkim_record_strings
from mxax.env import Environment
from tenants.keys import record_name
from tenants.models import ServiceKey

MX_PREFERENCE = 10


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `value` is its text without quoting, `why` is for the person who publishes it."""

    name: str
    type: str
    value: str
    why: str


def service_records(keys: Iterable[ServiceKey], env: Environment) -> list[Record]:
    """What our own names must publish; the addresses are the operator's to fill in."""
    service, forward = env.service_domain, env.forward_domain
    records = [
        Record(service, "A", "<address of the MX>", "also AAAA; the PTR record must name it"),
        Record(service, "MX", _mx(env), "mail to ourselves"),
        Record(forward, "MX", _mx(env), "returns of forwarded mail"),
    ]
    for name in (service, forward):
        records.append(Record(name, "TXT", _spf(env), f"who sends with {name} in the reverse-path"))
        records.append(Record(f"_dmarc.{name}", "TXT", _dmarc(env), "nobody else writes as us"))
    records += [
        Record(record_name(key), "TXT", f"v=DKIM1; {key.public}", f"DKIM, {key.state}")
        for key in keys
    ]
    return records


def _mx(env: Environment) -> str:
    return f"{MX_PREFERENCE} {env.service_domain}."


def _spf(env: Environment) -> str:
    """Our own address, and the smarthost's where one sends for us."""
    relay = "" if env.smarthost is None or env.catches_mail else f" a:{env.smarthost.host}"
    return f"v=spf1 a:{env.service_domain}{relay} -all"


def _dmarc(env: Environment) -> str:
    reports = f"; rua=mailto:{env.operator_email}" if env.operator_email else ""
    return f"v=DMARC1; p=reject; sp=reject; adkim=s; aspf=s{reports}"


def zone_lines(records: Sequence[Record]) -> list[str]:
    """The records as lines of a zone file (RFC 1035, 5.1), each under a comment."""
    lines = []
    for record in records:
        commented = ";" if record.value.startswith("<") else ""
        lines.append(f"; {record.why}")
        lines.append(f"{commented}{record.name}. 3600 IN {record.type} {_data(record)}")
    return lines


def _data(record: Record) -> str:
    if record.type != "TXT":
        return record.value
    return " ".join(f'"{part}"' for part in _strings(record.value))


def _strings(text: str) -> tuple[str, ...]:
    """Character strings of at most 255 octets (RFC 1035, 3.3.14)."""
    prefix = "v=DKIM1; "
    if text.startswith(prefix):
        return dkim_record_strings(text.removeprefix(prefix))
    return tuple(text[start : start + 255] for start in range(0, len(text), 255))
