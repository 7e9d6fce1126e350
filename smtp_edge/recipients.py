"""Gathers what the recipient policy looks at: one RCPT in, `RecipientFacts` out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mail.address import Address, BarePostmaster
from mail.envelope import Envelope
from mail.errors import BrokenSeal, SrsError, SrsExpired, SrsForged
from mail.facts import OwnName, RecipientFacts, ReturnFault, ReturnPath
from mail.opaque import parse_opaque, row_id, unseal
from mail.srs import decode_srs, is_srs
from routing.own_names import OwnNames
from smtp_edge.commands import RcptCommand
from smtp_edge.ports import DomainLookup, Reporter, ReturnPathLookup


@dataclass(frozen=True, slots=True)
class RecipientDesk:
    """The collaborators of a RCPT. What it awaits may raise `ServiceAway`."""

    names: OwnNames
    domains: DomainLookup
    return_paths: ReturnPathLookup
    reporter: Reporter
    srs_secrets: Sequence[bytes]

    async def facts(self, envelope: Envelope, command: RcptCommand, today: date) -> RecipientFacts:
        address = self._mailbox(command)
        if address is None:
            return RecipientFacts(command.text, envelope.reverse_path, None)
        own_name = self.names.named(address.domain)
        if own_name is not None:
            return await self._own(envelope, command, address, own_name, today)
        snapshot = await self.domains.get(address.domain)
        if snapshot is None:
            return RecipientFacts(command.text, envelope.reverse_path, address)
        return RecipientFacts.at_hosted(
            command.text,
            envelope.reverse_path,
            address,
            snapshot,
            self.reporter.accepted_today(snapshot.tenant_id),
        )

    def _mailbox(self, command: RcptCommand) -> Address | None:
        if isinstance(command.path, BarePostmaster):
            return Address("postmaster", self.names.service)
        return command.path if isinstance(command.path, Address) else None

    async def _own(
        self,
        envelope: Envelope,
        command: RcptCommand,
        address: Address,
        own_name: OwnName,
        today: date,
    ) -> RecipientFacts:
        returned = None
        if own_name is OwnName.FORWARD and is_srs(address.local_part):
            returned = await self._returned(address, today)
        return RecipientFacts(
            command.text,
            envelope.reverse_path,
            address,
            own_name=own_name,
            operator_address=self.names.operator_address,
            returned=returned,
        )

    async def _returned(self, address: Address, today: date) -> ReturnPath | ReturnFault:
        token = parse_opaque(address.local_part)
        if token is not None:
            return await self._opaque(token, today)
        try:
            path = decode_srs(
                str(address), secrets=self.srs_secrets, today=today, domain=self.names.forward
            )
        except SrsForged:
            return ReturnFault.FORGED
        except SrsExpired:
            return ReturnFault.EXPIRED
        except SrsError:
            return ReturnFault.MALFORMED
        return ReturnPath(path)

    async def _opaque(self, token: str, today: date) -> ReturnPath | ReturnFault:
        row = await self.return_paths.find(row_id(token))
        if row is None:
            return ReturnFault.FORGED
        if row.expires_on <= today:
            return ReturnFault.EXPIRED
        try:
            return ReturnPath(unseal(row.sealed, token))
        except BrokenSeal:
            return ReturnFault.FORGED
