"""Asking the owners of destinations, and what they answer (DESIGN: destinations are confirmed).

| who | calls | what follows |
|---|---|---|
| a route is saved | `ask_owners` | a mail to each destination not confirmed, as far as one may |
| a domain is proved | `ask_waiting` | the same: nobody is asked for a domain not proved |
| operator | `ask_again` | the same for one destination, with a new link |
| the owner, by a link | `confirm_by_owner` | mail flows |
| the owner, by a link | `stop_by_owner` | it stops, now and whenever he likes |
| somebody else, by a link | `block_by_owner` | no tenant's mail asks this address again |

The mail holds nothing that a tenant wrote: no address, no domain, no note, no name. The page behind
the link shows the domain. Nobody is asked twice within a day or more than three times in all, over
all tenants, and a tenant asks at most fifty people a day.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from django.conf import settings
from django.db import transaction

from mail.notice import account_mail
from mail.ports import Notice
from routing.consents import proved_domains
from routing.models import Destination
from routing.names import parse_destination
from routing.owner_tokens import (
    OwnerToken,
    ask_digest,
    is_stop_token,
    new_ask_token,
    parse_token,
    stop_token,
)
from routing.services.held_mail import drop_mail_to
from tenants import contacts
from tenants.audit import Actor, lock_chain, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.clock import database_now
from tenants.context import open_schema, public_schema, tenant_schema
from tenants.errors import RouteRefused, UnknownName
from tenants.models import Tenant
from tenants.notices import send_notice

LINK_LIVES: Final = timedelta(hours=72)
MOST_ASKED_A_DAY: Final = 50
OWNER: Final = "owner of the destination"

SUBJECT: Final = "Please confirm: may mail be forwarded to you?"


class Asked(Enum):
    """What came of asking; the text says as much as a tenant may know of others."""

    YES = "a confirmation mail is on its way"
    NOT_NOW = (
        "no confirmation mail was sent: the owner was asked within the last day, often enough "
        "before, or wants no mail from this service"
    )
    TOO_MANY = f"no confirmation mail was sent: {MOST_ASKED_A_DAY} went out within the last day"
    UNPROVED = "no confirmation mail was sent yet: it goes out when the domain is proved"
    SUSPENDED = "no confirmation mail was sent: the tenant is suspended"


class LinkGone(Exception):
    """The link fits nothing, has expired or was used."""


def ask_owners(
    tenant: Tenant, destinations: Iterable[Destination], actor: Actor | str
) -> dict[str, Asked]:
    """Ask for each destination that is not confirmed, in the current transaction and schema."""
    waiting = sorted({d.address: d for d in destinations if d.confirmed_at is None}.items())
    return {address: _ask(tenant, one, actor) for address, one in waiting}


def ask_again(*, tenant: Tenant, address: str, actor: Actor | str) -> Asked:
    """A new link for a destination; the old one is void. Raises `UnknownName`, `RouteRefused`."""
    wanted = parse_destination(address)
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        destination = Destination.objects.filter(
            address=wanted, routes__isnull=False, routes__removed_at=None
        ).first()
        if destination is None:
            raise UnknownName(f"No route of {tenant.slug} leads to {wanted}.")
        if destination.confirmed_at is not None:
            raise RouteRefused(f"{wanted} is confirmed already.")
        return _ask(tenant, destination, actor)


def ask_waiting(*, tenant: Tenant, domain: str, actor: Actor | str) -> None:
    """Ask those who could not be asked before the domain was proved."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        waiting = Destination.objects.filter(
            routes__domain__name=domain,
            routes__removed_at=None,
            confirmed_at=None,
            asked_at=None,
        )
        ask_owners(tenant, waiting.distinct(), actor)


def _ask(tenant: Tenant, destination: Destination, actor: Actor | str) -> Asked:
    # Before the turn: others hold the platform's chain when they wait for a turn.
    lock_chain(open_schema())
    asked = _may_ask(tenant, destination)
    if asked is Asked.YES:
        now = database_now()
        token = new_ask_token(tenant.pk, destination.pk)
        destination.asked_at, destination.ask_digest = now, ask_digest(token)
        destination.ask_expires_at, destination.ask_used_at = now + LINK_LIVES, None
        destination.save(update_fields=["asked_at", "ask_digest", "ask_expires_at", "ask_used_at"])
        send_notice(_letter(destination, token), tenant_id=tenant.pk)
    record_in_tenant(
        "destination.asked", destination.address, actor=actor, new={"result": asked.name}
    )
    return asked


def _may_ask(tenant: Tenant, destination: Destination) -> Asked:
    if tenant.standing != Tenant.Standing.ACTIVE:
        return Asked.SUSPENDED
    if not proved_domains(tenant.pk, destination):
        return Asked.UNPROVED
    since = database_now() - timedelta(days=1)
    if Destination.objects.filter(asked_at__gte=since).count() >= MOST_ASKED_A_DAY:
        return Asked.TOO_MANY
    # Last, because it takes the turn.
    return Asked.YES if contacts.take_turn(destination.address) else Asked.NOT_NOW


def _letter(destination: Destination, token: OwnerToken) -> Notice:
    service, address = settings.ENV.service_domain, destination.address
    stop = stop_token(token.tenant_id, token.destination_id, address)
    until = destination.ask_expires_at
    assert until is not None
    return account_mail(
        recipient=address,
        subject=SUBJECT,
        service_domain=service,
        paragraphs=(
            f"Somebody asked {service}, a mail service, to forward mail to this address. Nothing "
            "is forwarded unless you say yes. Which domain the mail comes from stands on the page:",
            link("confirm", token),
            f"The page has a button; opening it changes nothing. It works until {_moment(until)}, "
            "and once.",
            "Was this not you? Then simply do nothing. Or, so that nobody using this service can "
            "ask you again:",
            link("not-me", stop),
            "If you say yes, keep this message: with this link you stop the forwarding whenever "
            "you like, without an account.",
            link("stop", stop),
            "This message was written by a program, and nobody reads answers to it.",
        ),
    )


def link(action: str, token: OwnerToken) -> str:
    """Where a page for the owner of a destination is."""
    return f"{settings.ENV.panel_url.rstrip('/')}/{action}/{token}/"


def _moment(at: datetime) -> str:
    return f"{at:%-d %B %Y, %H:%M} UTC"


def confirm_by_owner(text: str, *, client_ip: str | None) -> None:
    """Let mail flow to the destination of an ask token. Raises `LinkGone`."""
    token = _token_of_tenant(text)
    with transaction.atomic(), tenant_schema(token.tenant_id):
        lock_routes(open_schema())
        destination = _locked(token)
        if bytes(destination.ask_digest or b"") != ask_digest(token):
            raise LinkGone
        now, expires_at = database_now(), destination.ask_expires_at
        if destination.ask_used_at is not None or expires_at is None or now >= expires_at:
            raise LinkGone
        if contacts.is_blocked(destination.address):
            raise LinkGone
        destination.ask_used_at = destination.confirmed_at = now
        destination.confirmed_by, destination.stopped_at = "owner", None
        destination.save()
        _tell(destination, "destination.confirmed", client_ip, {"by": "owner"})


def stop_by_owner(text: str, *, client_ip: str | None) -> None:
    """Stop the forwarding to the destination of a stop token. Raises `LinkGone`."""
    token = _token_of_tenant(text)
    with transaction.atomic(), tenant_schema(token.tenant_id):
        lock_routes(open_schema())
        destination = _locked_by_stop_token(token)
        if destination.confirmed_at is not None:
            _stop(destination, token.tenant_id)
            _tell(destination, "destination.stopped", client_ip, {"by": "owner"})


def block_by_owner(text: str, *, client_ip: str | None) -> None:
    """Never ask the address again, for no tenant; this tenant's mail to it stops too.

    Raises `LinkGone`. What its owner allowed other tenants goes on: their links stop that.
    """
    token = _token_of_tenant(text)
    with transaction.atomic(), tenant_schema(token.tenant_id):
        lock_routes(open_schema())
        destination = _locked_by_stop_token(token)
        if not contacts.is_blocked(destination.address):
            _stop(destination, token.tenant_id)
            _tell(destination, "destination.blocked", client_ip, {"by": "owner"})
            contacts.block(destination.address)


def _stop(destination: Destination, tenant_id: int) -> None:
    destination.confirmed_at, destination.confirmed_by = None, ""
    destination.ask_digest = destination.ask_expires_at = destination.ask_used_at = None
    destination.stopped_at = database_now()
    destination.save()
    drop_mail_to(destination.address, tenant_id=tenant_id)


def _tell(destination: Destination, action: str, client_ip: str | None, new: object) -> None:
    """Into the tenant's audit, and to the edges."""
    actor = Actor(OWNER, client_ip=client_ip)
    record_in_tenant(action, destination.address, actor=actor, new=new)
    for name in set(destination.routes.values_list("domain__name", flat=True)):
        routes_changed(name)


def _token_of_tenant(text: str) -> OwnerToken:
    token = parse_token(text)
    with public_schema():
        if token is None or not Tenant.objects.filter(pk=token.tenant_id).exists():
            raise LinkGone
    return token


def _locked(token: OwnerToken) -> Destination:
    row = Destination.objects.select_for_update().filter(pk=token.destination_id).first()
    if row is None:
        raise LinkGone
    return row


def _locked_by_stop_token(token: OwnerToken) -> Destination:
    destination = _locked(token)
    if not is_stop_token(token, destination.address):
        raise LinkGone
    return destination
