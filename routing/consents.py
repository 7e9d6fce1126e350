"""What a link in a confirmation mail is about: reads for the pages of people without an account."""

from dataclasses import dataclass
from enum import Enum

from routing.models import Destination, Domain
from routing.owner_tokens import OwnerToken, ask_digest, is_stop_token, parse_token
from tenants.clock import database_now
from tenants.contacts import is_blocked
from tenants.context import public_schema, tenant_schema
from tenants.models import ClaimedDomain, Tenant

MOST_DOMAINS = 10


class LinkState(Enum):
    OPEN = "open"
    EXPIRED = "expired"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Consent:
    """What the owner of `address` is asked, or may stop: mail that came to these domains.

    `domains` are A-labels: what looks like another name in some script does not here.
    """

    state: LinkState
    address: str
    domains: tuple[str, ...]


def asked_consent(text: str) -> Consent | None:
    """What an ask token is about; None where it fits nothing, whatever the reason."""
    token = _known(text)
    if token is None:
        return None
    with tenant_schema(token.tenant_id):
        destination = Destination.objects.filter(
            pk=token.destination_id, ask_digest=ask_digest(token)
        ).first()
        if destination is None or is_blocked(destination.address):
            return None
        return Consent(
            _state(destination), destination.address, proved_domains(token.tenant_id, destination)
        )


def given_consent(text: str) -> Consent | None:
    """What a stop token is about; None where it fits nothing."""
    token = _known(text)
    if token is None:
        return None
    with tenant_schema(token.tenant_id):
        destination = Destination.objects.filter(pk=token.destination_id).first()
        if destination is None or not is_stop_token(token, destination.address):
            return None
        state = LinkState.USED if destination.confirmed_at is None else LinkState.OPEN
        return Consent(state, destination.address, proved_domains(token.tenant_id, destination))


def _known(text: str) -> OwnerToken | None:
    """A token whose tenant exists: only then is there a schema to look into."""
    token = parse_token(text)
    if token is None:
        return None
    with public_schema():
        return token if Tenant.objects.filter(pk=token.tenant_id).exists() else None


def _state(destination: Destination) -> LinkState:
    if destination.ask_used_at is not None:
        return LinkState.USED
    expires_at = destination.ask_expires_at
    is_open = expires_at is not None and database_now() < expires_at
    return LinkState.OPEN if is_open else LinkState.EXPIRED


def proved_domains(tenant_id: int, destination: Destination) -> tuple[str, ...]:
    """The proved domains whose mail goes to the destination of the open tenant, some of them.

    Others are nobody's yet: a tenant could name anybody's there.
    """
    names = (
        Domain.objects.filter(routes__destinations=destination, routes__removed_at=None)
        .distinct()
        .order_by("name")
    )
    candidates = list(names.values_list("name", flat=True))
    with public_schema():
        proved = ClaimedDomain.objects.filter(
            tenant=tenant_id, name__in=candidates, state=ClaimedDomain.State.VERIFIED
        )
        return tuple(proved.order_by("name").values_list("name", flat=True)[:MOST_DOMAINS])
