"""Mail of the service to people about tenants: invitations, and what changed for a member.

An invitation goes to a stranger and holds nothing that a person typed: neither the tenant's name
nor who invites. That stands on the page behind the link. Members are told the slug of their tenant.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.conf import settings

from mail.errors import BadAddress
from mail.notice import account_mail
from tenants.notices import send_notice
from tenants.people import WHAT_A_ROLE_MAY, Role

_NOBODY_READS: Final = "This message was written by a program, and nobody reads answers to it."


def invite(address: str, *, token: str, until: datetime, tenant_id: int) -> None:
    """The mail with the link. Raises `BadAddress`."""
    service = settings.ENV.service_domain
    _send(
        address,
        "You are invited",
        (
            f"Somebody who uses {service}, a mail service, invites you to look after their "
            "domains with them. Who it is, and what you could do there, stands on this page:",
            page_of("invitation", token),
            f"The page has a button; opening it changes nothing. It works until {_moment(until)}, "
            "and once.",
            "Do you not know what this is about? Then simply do nothing. The page can also stop "
            "such mail to you for good.",
            _NOBODY_READS,
        ),
        tenant_id=tenant_id,
    )


def tell_of_role(address: str, *, slug: str, role: str, tenant_id: int) -> None:
    """A member's role was changed."""
    what = WHAT_A_ROLE_MAY[Role(role)]
    _tell(
        address,
        "Your role was changed",
        (f"Your role in {slug} is now {role}. It may do this: {what}.", page_of("t", slug)),
        tenant_id,
    )


def tell_of_removal(address: str, *, slug: str, tenant_id: int) -> None:
    """A member was removed."""
    text = (
        f"You do not belong to {slug} any more: one of its owners or admins removed you. Your "
        f"account at {settings.ENV.service_domain} stays."
    )
    _tell(address, "You were removed from a tenant", (text,), tenant_id)


def tell_of_new_owner(
    addresses: Iterable[str], *, slug: str, new_owner: str, tenant_id: int
) -> None:
    """The ownership was handed over: the new owner and all others hear of it."""
    text = f"{new_owner} is now an owner of {slug}, and can do everything there."
    more = "If you did not expect this, look at the people and the audit of the tenant:"
    for address in addresses:
        _tell(address, "A tenant has a new owner", (text, more, page_of("t", slug)), tenant_id)


def tell_of_deletion(addresses: Iterable[str], *, slug: str) -> None:
    """The tenant is gone; mail of nobody's tenant, so that nothing of it is kept."""
    text = (
        f"{slug} was deleted by one of its owners, with its domains, routes, keys, logs and all "
        "mail that waited. Mail for its addresses is refused. This cannot be undone; your account "
        "stays."
    )
    for address in addresses:
        _tell(address, "A tenant was deleted", (text,), None)


def page_of(kind: str, name: str) -> str:
    """The address of a page: an invitation's, a tenant's."""
    return f"{settings.ENV.panel_url.rstrip('/')}/{kind}/{name}/"


def _tell(address: str, subject: str, paragraphs: tuple[str, ...], tenant_id: int | None) -> None:
    try:
        _send(address, subject, (*paragraphs, _NOBODY_READS), tenant_id=tenant_id)
    except BadAddress:
        return  # an account whose name is no mailbox: an operator's "root"


def _send(
    address: str, subject: str, paragraphs: tuple[str, ...], *, tenant_id: int | None
) -> None:
    notice = account_mail(
        recipient=address,
        subject=subject,
        paragraphs=paragraphs,
        service_domain=settings.ENV.service_domain,
    )
    send_notice(notice, tenant_id=tenant_id)


def _moment(at: datetime) -> str:
    return f"{at:%-d %B %Y, %H:%M} UTC"
