"""The MX without a wire: mail of our own queue for a domain that is hosted here.

The same transaction as on the listener, with the same desk and policies. Three things differ: what
it would keep is handed to the sending loop (which keeps it when it settles the delivery), authors
in our own names are let in (this mail has come in once already, or we wrote it), and the client is
the one that brought the mail in: the second tenant's policy judges it by the same facts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.conf import settings

from delivery.acceptance import KeptMessage
from delivery.held_room import held_octets
from delivery.hosted import Hosting, Origin, ReceptionAway, TakenIn
from delivery.markers import marker_keys
from delivery.transport.values import Transaction as Outgoing
from mail.envelope import Client
from mail.facts import DomainStanding
from mail.reply import Reply
from routing.own_names import OwnNames
from routing.selectors import domain_snapshot
from smtp_edge.commands import MailCommand, read_rcpt
from smtp_edge.database_threads import DatabaseThreads
from smtp_edge.domains import DomainCache
from smtp_edge.held_room import HeldRoom
from smtp_edge.inbound import Inbound
from smtp_edge.inspection import NO_INSPECTION, Inspector
from smtp_edge.limits import Limits
from smtp_edge.ports import PieceOfMessage, ServiceAway
from smtp_edge.recipients import RecipientDesk
from smtp_edge.refusals import Refusals
from smtp_edge.reporter import DatabaseReporter
from smtp_edge.return_paths import ReturnPaths

_LOOKUP_SECONDS = 10.0
_STOP_SECONDS = 2.0
_OUR_FIELDS_OCTETS = 1024 * 1024  # what we added must not make it too large


@dataclass(slots=True)
class Kept:
    """A keeper that only holds: nothing is committed here."""

    messages: tuple[KeptMessage, ...] = ()

    async def keep(self, messages: Sequence[KeptMessage]) -> None:
        self.messages = tuple(messages)

    async def store(self, pieces: Sequence[PieceOfMessage]) -> None:
        raise AssertionError("mail from inside comes in one piece")

    def discard(self, trace_ids: Sequence[UUID]) -> None:
        return None


@dataclass(slots=True)
class WholeMessage:
    """Octets that are all there, in the shape of data that comes in."""

    octets: bytes
    taken_octets: int = 0
    ended: bool = True
    broken: bool = False

    @property
    def all_taken(self) -> bool:
        return self.taken_octets > 0

    async def piece(self) -> bytes:
        self.taken_octets = len(self.octets)
        return self.octets

    async def skip(self, most_octets: int) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class InsideReception:
    """Takes in mail for hosted domains; made inside the running event loop."""

    inbound: Inbound
    service: str
    end: Callable[[], None]

    @classmethod
    def from_settings(cls) -> "InsideReception":
        env = settings.ENV
        threads = DatabaseThreads("inside", 1, _LOOKUP_SECONDS)
        # Nobody tells this process of changed routes: what it knows is a second old at most.
        domains = DomainCache(domain_snapshot, threads, lambda: True)
        reporter = DatabaseReporter()
        names = OwnNames.of(env.service_domain, env.forward_domain, env.operator_email)
        desk = RecipientDesk(names, domains, ReturnPaths(threads), reporter, env.srs_secrets)
        inspector = Inspector.from_settings()
        inbound = Inbound(
            desk=desk,
            keeper=Kept(),
            refusals=Refusals(reporter),
            limits=Limits(message_octets=env.max_message_octets + _OUR_FIELDS_OCTETS),
            marker_keys=marker_keys,
            inspector=inspector,
            is_inside=True,
            held_room=HeldRoom(held_octets, threads, env.held_max_octets),
        )

        def end() -> None:
            inspector.close()
            threads.stop()
            reporter.stop(_STOP_SECONDS)

        return cls(inbound, env.service_domain, end)

    def close(self) -> None:
        """Write down what was refused, and end the threads."""
        self.end()

    async def hosting(self, domain: str) -> Hosting:
        desk = self.inbound.desk
        if desk.names.named(domain) is not None:
            return Hosting.HERE
        try:
            snapshot = await desk.domains.get(domain)
        except ServiceAway as away:
            raise ReceptionAway(str(away)) from None
        if snapshot is None:
            return Hosting.ELSEWHERE
        return Hosting.HERE if snapshot.standing is DomainStanding.SERVED else Hosting.CLAIMED

    async def take_in(self, mail: Outgoing, origin: Origin) -> TakenIn:
        kept = Kept()
        inbound = replace(self.inbound, keeper=kept, known_authentic=origin.authenticated)
        if origin.is_ours:
            inbound = replace(inbound, inspector=NO_INSPECTION)
        command = MailCommand(
            mail.reverse_path,
            declared_octets=mail.size_octets,
            eight_bit=mail.is_eight_bit,
            smtputf8=mail.needs_smtputf8,
        )
        transaction = inbound.begin(self._client(origin), command)
        recipient = read_rcpt(f"TO:<{mail.recipient}>", smtputf8=mail.needs_smtputf8)
        if isinstance(transaction, Reply):
            return TakenIn(transaction)
        if isinstance(recipient, Reply):
            return TakenIn(recipient)
        reply = await transaction.recipient(recipient)
        if not reply.is_positive:
            return TakenIn(reply)
        reply = await transaction.receive(WholeMessage(b"".join(mail.pieces)))
        return TakenIn(reply, kept.messages)

    def _client(self, origin: Origin) -> Client:
        """Who brought it: the second tenant's policy is asked about him as the first one's was."""
        if origin.is_ours:
            return Client("127.0.0.1", 0, self.service, "ESMTP")
        return Client(origin.client_ip, 0, origin.helo, "ESMTP")
