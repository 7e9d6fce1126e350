"""Tokens for the HTTP API: made here, shown once, kept only as an HMAC under a pepper.

    mxax_<slug>_<locator>_<secret>

The slug names the tenant, the locator the row, both may be seen; the secret has 160 bits.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import TextChoices

from routing.models import ApiToken
from tenants.audit import Actor, record_in_tenant
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.errors import TenancyError, UnknownName
from tenants.lasting import lasting_key
from tenants.models import Tenant
from tenants.names import one_line
from tenants.random_text import random_text
from tenants.services.powers import locked_tenant

SECRET_OCTETS: Final = 20
LOCATOR_OCTETS: Final = 5
MOST_IN_FORCE: Final = 50


class Scope(TextChoices):
    """What a token may do; nothing else."""

    READ = "read", "read domains, routes and their state"
    WRITE = "write", "change domains and routes"
    LOG = "log", "read the message log"
    SEND = "send", "send mail"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token, to be shown once; it is kept nowhere."""

    label: str
    token: str


def create_token(
    *,
    tenant: Tenant,
    label: str,
    scopes: Sequence[str],
    actor: Actor | str,
    expires_at: datetime | None = None,
) -> NewToken:
    """A token with these scopes. Raises `TenancyError` for none, or for too many tokens."""
    wanted = [scope.value for scope in Scope if scope.value in scopes]
    if not wanted or len(wanted) != len(set(scopes)):
        raise TenancyError("Choose at least one thing that the token may do.")
    locator = random_text(LOCATOR_OCTETS)
    token = f"mxax_{tenant.slug}_{locator}_{random_text(SECRET_OCTETS)}"
    with transaction.atomic(), tenant_schema(tenant.pk):
        locked_tenant(tenant)  # two at once would pass the limit
        if ApiToken.objects.filter(revoked_at=None).count() >= MOST_IN_FORCE:
            raise TenancyError(f"There are {MOST_IN_FORCE} tokens in force: revoke one first.")
        row = ApiToken(locator=locator, label=one_line(label, "label"), scopes=wanted)
        row.digest, row.expires_at = token_digest(token), expires_at
        row.full_clean()
        row.save(force_insert=True)
        new = {"label": row.label, "scopes": wanted, "expires_at": expires_at}
        record_in_tenant("token.created", locator, actor=actor, new=new)
    return NewToken(row.label, token)


def revoke_token(*, tenant: Tenant, token_id: int, actor: Actor | str) -> ApiToken:
    """Make a token useless from now on. Raises `UnknownName`."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        row = ApiToken.objects.filter(pk=token_id, revoked_at=None).first()
        if row is None:
            raise UnknownName("This token is not in force any more.")
        row.revoked_at = database_now()
        row.save(update_fields=["revoked_at"])
        record_in_tenant("token.revoked", row.locator, actor=actor, old={"label": row.label})
    return row


def token_digest(token: str) -> bytes:
    """What is kept of a token: useless to whoever reads the table without the pepper."""
    return hmac.digest(lasting_key("api tokens"), token.encode(), hashlib.sha256)
