"""Invitations as they are read: what a link is about, what is open, who is invited where."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from tenants.clock import database_now
from tenants.context import public_schema
from tenants.models import Invitation, Tenant, User
from tenants.random_text import random_text

TOKEN_OCTETS: Final = 20
_TOKEN = re.compile(r"[a-z2-7]{32}", re.ASCII).fullmatch


class LinkState(Enum):
    """How an invitation stands; the value ends a sentence about it."""

    OPEN = "is open"
    EXPIRED = "has expired"
    USED = "was used"
    WITHDRAWN = "was withdrawn"


@dataclass(frozen=True, slots=True)
class InvitationSeen:
    """What the holder of a link is shown; `has_account`: whether the address signs in here."""

    state: LinkState
    email: str
    role: str
    tenant: Tenant
    invited_by: str
    expires_at: datetime
    has_account: bool


def new_link_token() -> str:
    """160 random bits, as they stand in the link."""
    return random_text(TOKEN_OCTETS)


def digest_of_link(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(b"mxax invitation\0" + token.encode()).digest()


def state_of(invitation: Invitation, now: datetime) -> LinkState:
    """How an invitation stands at a moment."""
    if invitation.accepted_at is not None:
        return LinkState.USED
    if invitation.withdrawn_at is not None:
        return LinkState.WITHDRAWN
    return LinkState.OPEN if now < invitation.expires_at else LinkState.EXPIRED


def invitation_of_link(token: str) -> InvitationSeen | None:
    """What a link is about; None where it fits nothing, whatever the reason."""
    if not _TOKEN(token):
        return None
    with public_schema():
        rows = Invitation.objects.select_related("tenant")
        found = rows.filter(digest=digest_of_link(token)).first()
        if found is None:
            return None
        return InvitationSeen(
            state=state_of(found, database_now()),
            email=found.email,
            role=found.role,
            tenant=found.tenant,
            invited_by=found.invited_by,
            expires_at=found.expires_at,
            has_account=User.objects.filter(email=found.email).exists(),
        )


def open_invitations(tenant_id: int) -> list[Invitation]:
    """Invitations of a tenant that nobody answered, expired ones too, by address."""
    with public_schema():
        rows = Invitation.objects.filter(tenant=tenant_id, accepted_at=None, withdrawn_at=None)
        return list(rows.order_by("email"))


def waiting_for(user: User) -> list[Invitation]:
    """Open invitations of an address that its owner has proved to be his."""
    if user.email_confirmed_at is None:
        return []
    with public_schema():
        rows = Invitation.objects.select_related("tenant").filter(
            email=user.email, accepted_at=None, withdrawn_at=None, expires_at__gt=database_now()
        )
        return list(rows.order_by("created_at"))
