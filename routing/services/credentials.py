"""SMTP credentials: made here, shown once, kept only as SCRAM-SHA-256 keys (RFC 5802, 7677)."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from mail.address import parse_address
from mail.errors import BadAddress
from routing.models import Domain, SmtpCredential
from routing.services.domains import domain_label
from tenants.audit import Actor, record_in_tenant
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.errors import TenancyError, UnknownName
from tenants.models import Tenant
from tenants.names import one_line
from tenants.random_text import random_text
from tenants.services.powers import locked_tenant

SECRET_OCTETS: Final = 20
LOCATOR_OCTETS: Final = 5
SALT_OCTETS: Final = 16
MOST_IN_FORCE: Final = 100
# The least that RFC 7677 allows: guessing 160 random bits is hopeless anyway, and more rounds would
# only be a lever for denial of service.
ITERATIONS: Final = 4096


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps of a secret."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class NewCredential:
    """User name and secret, to be shown once; the secret is kept nowhere."""

    username: str
    secret: str


def create_credential(
    *,
    tenant: Tenant,
    actor: Actor | str,
    domain: str = "",
    address: str = "",
    label: str = "",
    expires_at: datetime | None = None,
) -> NewCredential:
    """A credential for all the tenant's domains, for one of them, or for one address.

    Raises `UnknownName` for a domain that the tenant does not have, else `TenancyError`: for one
    more than `MOST_IN_FORCE`, too.
    """
    if domain and address:
        raise TenancyError("A credential is for a domain or for an address, not for both.")
    made = NewCredential(f"{tenant.slug}.{random_text(LOCATOR_OCTETS)}", random_text(SECRET_OCTETS))
    with transaction.atomic(), tenant_schema(tenant.pk):
        locked_tenant(tenant)  # two at once would pass the limit
        if SmtpCredential.objects.filter(revoked_at=None).count() >= MOST_IN_FORCE:
            raise TenancyError(f"There are {MOST_IN_FORCE} credentials in force: revoke one first.")
        row = _row(made)
        row.address, row.domain = _scope(tenant, domain, address)
        row.label, row.expires_at = one_line(label, "label"), expires_at
        row.full_clean()
        row.save(force_insert=True)
        new = {
            "label": row.label,
            "domain": row.domain.name if row.domain else "",
            "address": row.address,
            "expires_at": expires_at,
        }
        record_in_tenant("credential.created", made.username, actor=actor, new=new)
    return made


def revoke_credential(*, tenant: Tenant, username: str, actor: Actor | str) -> None:
    """Make a credential useless from now on. Raises `UnknownName`."""
    with transaction.atomic(), tenant_schema(tenant.pk):
        row = SmtpCredential.objects.filter(username=username, revoked_at=None).first()
        if row is None:
            raise UnknownName(f"{tenant.slug} has no credential {username} in force.")
        row.revoked_at = database_now()
        row.save(update_fields=["revoked_at"])
        old = {"label": row.label}
        record_in_tenant("credential.revoked", username, actor=actor, old=old)


def scram_keys(secret: str, *, salt: bytes, iterations: int) -> ScramKeys:
    """StoredKey and ServerKey (RFC 5802, 3); our secrets are ASCII, so SASLprep changes nothing."""
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return ScramKeys(
        salt,
        iterations,
        hashlib.sha256(client_key).digest(),
        hmac.digest(salted, b"Server Key", "sha256"),
    )


def _row(made: NewCredential) -> SmtpCredential:
    keys = scram_keys(made.secret, salt=secrets.token_bytes(SALT_OCTETS), iterations=ITERATIONS)
    return SmtpCredential(
        username=made.username,
        salt=keys.salt,
        iterations=keys.iterations,
        stored_key=keys.stored_key,
        server_key=keys.server_key,
    )


def _scope(tenant: Tenant, domain: str, address: str) -> tuple[str, Domain | None]:
    if not domain and not address:
        return "", None
    try:
        mailbox = parse_address(address) if address else None
    except BadAddress as error:
        raise TenancyError(f"This is not an address: {error}.") from None
    label = mailbox.domain if mailbox else domain_label(domain)
    row = Domain.objects.filter(name=label).first()
    if row is None:
        raise UnknownName(f"{tenant.slug} has no domain {label}: add it first.")
    return str(mailbox or ""), row
