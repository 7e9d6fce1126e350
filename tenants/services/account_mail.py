"""Mail about an account to the person whose it is; queued in the caller's transaction."""

from typing import Final

from django.conf import settings

from mail.errors import BadAddress
from mail.notice import account_mail
from tenants.notices import send_notice

_NOBODY_READS: Final = "This message was written by a program, and nobody reads answers to it."


def tell(address: str, subject: str, *paragraphs: str) -> None:
    """Tell of a change, and what to do if it was somebody else."""
    send(address, subject, *paragraphs, _not_you())


def send(address: str, subject: str, *paragraphs: str) -> None:
    """A mail from the service itself. Paragraphs hold nothing that a stranger wrote."""
    env = settings.ENV
    try:
        notice = account_mail(
            recipient=address,
            subject=f"{env.service_domain}: {subject}",
            paragraphs=(*paragraphs, _NOBODY_READS),
            service_domain=env.service_domain,
        )
    except BadAddress:
        return  # an account whose name is no mailbox: an operator's "root"
    send_notice(notice, tenant_id=None)


def link(path: str) -> str:
    """The address of a page of ours: from the settings, never from a request's Host."""
    return f"{settings.ENV.panel_url.rstrip('/')}{path}"


def _not_you() -> str:
    return (
        "If this was not you, set a new password now, which ends every session, and look at your "
        f"account: {link('/password/')}"
    )
