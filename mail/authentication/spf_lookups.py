"""What SPF asks DNS for, counted (RFC 7208, 4.6.4).

    SpfLookups.count_term    ten terms that ask; `SpfStop` ends the evaluation at the eleventh
    record                   the one SPF record of a domain, read
    addresses, exchanges     for a, mx, exists; a third term that finds nothing is an error
    has_name_below           for ptr: at most ten names, failures skipped (5.5)
    name_of_client           for the macro "p"

All records and addresses together are bounded as well (11.1): 64 kB of hostile records eleven times
over would hold the event loop for a third of a second. A term is void once, however many hosts of
an MX it asked for. Records and explanations are not counted.
"""

import re
from typing import Final, Literal, NoReturn

from mail.address import is_within
from mail.authentication.client_name import IpAddress, leading_names, leads_back
from mail.authentication.spf_record import SpfRecord, is_spf_record, parse_record
from mail.authentication.values import SpfResult
from mail.errors import BadSpfRecord
from mail.lookups import Lookup

_MAX_TERMS: Final = 10
_MAX_VOID: Final = 2
_MAX_EXCHANGES: Final = 10
_MAX_OCTETS: Final = 70_000  # one TXT record at its largest is below
_ADDRESS_OCTETS: Final = 16
_MAX_SHOWN: Final = 80
_UNPRINTABLE = re.compile(r"[^ -~]")


class SpfStop(Exception):
    """An error ends everything, however deep in includes it is found (5.2)."""

    def __init__(self, result: SpfResult, reason: str) -> None:
        super().__init__(reason)
        self.result, self.reason = result, reason


class SpfLookups:
    """The questions of one evaluation. `client` is never an IPv4 address mapped into IPv6."""

    def __init__(self, lookup: Lookup, client: IpAddress) -> None:
        self._lookup, self._client = lookup, client
        self._family: Literal["A", "AAAA"] = "A" if client.version == 4 else "AAAA"
        self._terms_left, self._void_left = _MAX_TERMS, _MAX_VOID
        self._octets_left = _MAX_OCTETS
        self._confirmed: dict[str, bool] = {}

    async def record(self, domain: str) -> SpfRecord | None:
        """The record, None where there is none; two are an error (4.5)."""
        answer = await self._lookup.txt(domain)
        if answer.failed:
            stop(SpfResult.TEMPERROR, f"DNS does not answer for the record of {shown(domain)}")
        records = [record for record in answer.records if is_spf_record(record)]
        if len(records) > 1:
            stop(SpfResult.PERMERROR, f"{shown(domain)} has {len(records)} SPF records")
        self._count_octets(sum(map(len, records)))
        try:
            return parse_record(records[0]) if records else None
        except BadSpfRecord as error:
            stop(SpfResult.PERMERROR, f"the record of {shown(domain)} has {error}")

    async def addresses(
        self, name: str, family: Literal["A", "AAAA"] | None = None
    ) -> tuple[str, ...]:
        """Addresses of the client's own family, or of this one."""
        answer = await self._lookup.addresses(name, family or self._family)
        if answer.failed:
            stop(SpfResult.TEMPERROR, f"DNS does not answer for the address of {shown(name)}")
        self._count_octets(len(answer.records) * _ADDRESS_OCTETS)
        return answer.records

    async def exchanges(self, name: str) -> tuple[str, ...]:
        """Hosts of the MX records; more than ten are an error (4.6.4)."""
        answer = await self._lookup.mx(name)
        if answer.failed:
            stop(SpfResult.TEMPERROR, f"DNS does not answer for the MX records of {shown(name)}")
        if len(answer.records) > _MAX_EXCHANGES:
            stop(SpfResult.PERMERROR, f"{shown(name)} has more than {_MAX_EXCHANGES} MX records")
        if answer.is_void:
            self.count_void()
        return tuple(record.exchange for record in answer.records if record.exchange)

    async def exists(self, name: str) -> bool:
        """IPv4 is asked for whatever the client has (5.7)."""
        found = bool(await self.addresses(name, "A"))
        if not found:
            self.count_void()
        return found

    async def text(self, name: str) -> str:
        """The one TXT record at a name; "" where it is not one, or not ASCII (6.2)."""
        records = (await self._lookup.txt(name)).records
        return records[0].decode("ascii", "replace") if len(records) == 1 else ""

    async def has_name_below(self, target: str) -> bool:
        """Names that are not below are not looked at; DNS that fails skips a name (5.5)."""
        found = await leading_names(self._lookup, self._client)
        if found.answer.is_void:
            self.count_void()
        for name in found.names:
            if is_within(name, target) and await self._leads_back(name):
                return True
        return False

    async def name_of_client(self, domain: str) -> str:
        """`%{p}`: the domain itself, else a name below it, else any that leads back (7.3)."""
        names = (await leading_names(self._lookup, self._client)).names
        for name in sorted(names, key=lambda name: (name != domain, not is_within(name, domain))):
            if await self._leads_back(name):
                return name
        return "unknown"

    async def _leads_back(self, name: str) -> bool:
        if name not in self._confirmed:
            confirmed = await leads_back(self._lookup, name, self._client)
            self._confirmed[name] = bool(confirmed)
        return self._confirmed[name]

    def count_term(self, domain: str) -> None:
        self._terms_left -= 1
        if self._terms_left < 0:
            where = f"the record of {shown(domain)}"
            stop(
                SpfResult.PERMERROR,
                f"more than {_MAX_TERMS} terms ask DNS, one too many in {where}",
            )

    def count_void(self) -> None:
        self._void_left -= 1
        if self._void_left < 0:
            stop(SpfResult.PERMERROR, f"more than {_MAX_VOID} terms ask DNS in vain")

    def _count_octets(self, octets: int) -> None:
        self._octets_left -= octets
        if self._octets_left < 0:
            stop(SpfResult.PERMERROR, f"its records have more than {_MAX_OCTETS} octets together")


def stop(result: SpfResult, reason: str) -> NoReturn:
    """End the evaluation with an error."""
    raise SpfStop(result, reason)


def shown(text: str) -> str:
    """A stranger's text in a reason: printable ASCII, cut."""
    cut = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return _UNPRINTABLE.sub("?", cut)
