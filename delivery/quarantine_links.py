"""Links in a digest by which its reader decides about one message without signing in.

    token    <tenant>-<user>-<delivery>-<32 base32 characters>    160 bits of a MAC, stored nowhere

A link is for one tenant, person, delivery and action, so what is done by it has somebody's name in
the audit. It works as long as the mail is in quarantine and its person may decide there; a decision
uses up all links of the message, whoever has them. Opening one changes nothing.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from django.conf import settings

from delivery import quarantine
from delivery.quarantine_selectors import matter
from mail.facts import LogLevel
from tenants.audit import Actor
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.lasting import lasting_key
from tenants.models import Membership

SECRET_OCTETS: Final = 20
_TOKEN = re.compile(
    r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})-([1-9][0-9]{0,17})-([a-z2-7]{32})", re.ASCII
)
MAY_DECIDE: Final = (Membership.Role.EDITOR, Membership.Role.ADMIN, Membership.Role.OWNER)


class LinkAction(Enum):
    """What a link does; the value stands in its address."""

    RELEASE = "release"
    DELETE = "delete"


class LinkGone(Exception):
    """The link fits nothing, or not any more."""


@dataclass(frozen=True, slots=True)
class DecisionToken:
    """A token taken apart; nothing says yet that it is a good one."""

    tenant_id: int
    user_id: int
    delivery_id: int
    secret: str

    def __str__(self) -> str:
        return f"{self.tenant_id}-{self.user_id}-{self.delivery_id}-{self.secret}"


@dataclass(frozen=True, slots=True)
class HeldMatter:
    """What the page behind a link tells; empty where the tenant's policy keeps nothing of it."""

    tenant_name: str
    author: str
    recipient: str
    subject: str
    reason: str
    held_until: datetime | None


def decision_link(action: LinkAction, *, tenant_id: int, user_id: int, delivery_id: int) -> str:
    """Where the page for one decision is."""
    token = _token(action, tenant_id, user_id, delivery_id)
    return f"{settings.ENV.panel_url.rstrip('/')}/held/{action.value}/{token}/"


def read_link(action: LinkAction, text: str) -> HeldMatter | None:
    """What the link is about; None where it was decided, or its time is over.

    Raises `LinkGone` for a link that is none of ours, or whose person may not decide any more.
    """
    token, member = _checked(action, text)
    with tenant_schema(token.tenant_id):
        row = _waiting(token)
    return None if row is None else told(row, tenant_name=member.tenant.name or member.tenant.slug)


def decide_by_link(action: LinkAction, text: str, *, client_ip: str | None) -> bool:
    """Release or delete; False where it was decided already. Raises `LinkGone`, `NotAllowed`."""
    token, member = _checked(action, text)
    actor = Actor(member.user.email, member.user_id, client_ip)
    act = quarantine.release if action is LinkAction.RELEASE else quarantine.delete
    with tenant_schema(token.tenant_id):
        if _waiting(token) is None:
            return False
        done = act(tenant_id=token.tenant_id, delivery_ids=[token.delivery_id], actor=actor)
    return bool(done)


def told(row: Any, *, tenant_name: str) -> HeldMatter:
    """A matter as it may be told in mail and to who has a link: no more than the log keeps."""
    level = row.message.log_level
    readable = level >= LogLevel.METADATA
    return HeldMatter(
        tenant_name=tenant_name,
        author=(row.author or row.message.reverse_path) if readable else "",
        recipient=row.recipient if readable else "",
        subject=row.subject if level >= LogLevel.HEADERS else "",
        reason=row.hold_reason,
        held_until=row.held_until,
    )


def _waiting(token: DecisionToken) -> Any:
    row = matter(token.tenant_id, token.delivery_id)
    if row is None or (row.held_until is not None and row.held_until <= database_now()):
        return None
    return row


def _checked(action: LinkAction, text: str) -> tuple[DecisionToken, Membership]:
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise LinkGone
    token = DecisionToken(int(found[1]), int(found[2]), int(found[3]), found[4])
    ours = _token(action, token.tenant_id, token.user_id, token.delivery_id)
    if not hmac.compare_digest(ours.secret, token.secret):
        raise LinkGone
    with public_schema():
        member = (
            Membership.objects.select_related("tenant", "user")
            .filter(tenant=token.tenant_id, user=token.user_id, role__in=MAY_DECIDE)
            .filter(user__is_active=True, tenant__requires_second_factor=False)
            .first()
        )
    if member is None:
        raise LinkGone
    return token, member


def _token(action: LinkAction, tenant_id: int, user_id: int, delivery_id: int) -> DecisionToken:
    bound = f"{action.value}\0{tenant_id}\0{user_id}\0{delivery_id}".encode()
    mac = hmac.digest(lasting_key("quarantine links"), bound, hashlib.sha256)[:SECRET_OCTETS]
    secret = base64.b32encode(mac).decode("ascii").lower()
    return DecisionToken(tenant_id, user_id, delivery_id, secret)
