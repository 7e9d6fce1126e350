"""Who acts, and with which powers: of a member in a tenant, and of the owner of the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from tenants.audit import Actor
from tenants.context import public_schema
from tenants.errors import NoPowers, NotAllowed, UnknownName
from tenants.isolation import OWNER
from tenants.models import Membership, Tenant
from tenants.people import Role


def locked_tenant(tenant: Tenant) -> Tenant:
    """The tenant's row, locked: changes of its people come one after the other.

    Rows that point at it (claims, memberships) may still be added meanwhile. Raises `UnknownName`.
    """
    rows = Tenant.objects.select_for_update(no_key=True)
    row: Tenant | None = rows.filter(pk=tenant.pk).first()
    if row is None:
        raise UnknownName(f"The tenant {tenant.slug} is gone: it was deleted meanwhile.")
    return row


def role_of(tenant: Tenant, actor: Actor | str) -> Membership.Role:
    """The role in which somebody acts, read now: it may have been taken away a moment ago.

    An operator at the command line, and the service itself, have no user id and an owner's powers.
    Raises `NotAllowed` for a user who is no member.
    """
    user_id = actor.user_id if isinstance(actor, Actor) else None
    if user_id is None:
        return Role.OWNER
    with public_schema():
        members = Membership.objects.filter(tenant=tenant, user_id=user_id, user__is_active=True)
        role = members.values_list("role", flat=True).first()
    if role is None:
        raise NotAllowed("You are not a member of this tenant any more.")
    return Role(role)


def require_owner(tenant: Tenant, actor: Actor | str) -> None:
    """Raise `NotAllowed` unless an owner (or an operator) acts."""
    if role_of(tenant, actor) != Role.OWNER:
        raise NotAllowed("Only an owner of the tenant may do this.")


@contextmanager
def powers_of_the_owner() -> Iterator[None]:
    """The role that makes and drops schemas, inside the current transaction.

    For the two things a page does that no role at work may: making a tenant, and erasing one. Where
    each process has a login of its own, the panel's cannot: raises `NoPowers` then.
    """
    if not settings.ENV.database_roles:
        yield
        return
    before = _current_role()
    if before == OWNER:
        yield
        return
    _become(OWNER)
    yield
    # After an error the transaction, or the savepoint around this, takes the role back itself.
    _become(before)


def _current_role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return str(cursor.fetchone()[0])


def _become(role: str) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {connection.ops.quote_name(role)}")
    except DatabaseError:
        raise NoPowers(
            "On this installation tenants are made and deleted by its operator only "
            "(`manage.py tenant`): please ask him."
        ) from None
