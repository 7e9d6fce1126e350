"""What an owner does with his tenant as a whole: make, rename, pause, protect, erase.

The operator's commands call tenants/services/tenants.py, which asks nobody's role.
"""

from typing import Final

from django.conf import settings
from django.db import transaction

from tenants.audit import Actor, record_in_tenant
from tenants.context import public_schema, tenant_schema
from tenants.errors import NotAllowed, TenancyError
from tenants.limits import Kind, count_attempt
from tenants.models import Membership, Tenant, User
from tenants.names import one_line
from tenants.people import Role
from tenants.services import letters
from tenants.services.powers import locked_tenant, require_owner, role_of
from tenants.services.tenants import create_tenant, delete_tenant, record_in_both, set_standing

MOST_OWNED: Final = 20


def may_make_tenants(user: User) -> bool:
    """Whether a person may make a tenant of his own on this installation.

    Staff, and who was trusted with a tenant before; everybody with a confirmed address where
    MXAX_SIGN_UP is on.
    """
    with public_schema():
        if user.is_staff:
            return True
        if getattr(settings.ENV, "sign_up", False) and user.email_confirmed_at is not None:
            return True
        return Membership.objects.filter(user=user, role=Role.OWNER).exists()


def make_own_tenant(*, user: User, slug: str, name: str, actor: Actor) -> Tenant:
    """A tenant whose owner is `user`. Raises what `create_tenant` does, and `NotAllowed`.

    What is refused makes no tenant and is undone, but for the count of slugs that were tried.
    """
    _count_slug(user, actor)
    with transaction.atomic(), public_schema():
        User.objects.select_for_update().get(pk=user.pk)  # two at once would pass the limit
        if not may_make_tenants(user):
            raise NotAllowed("Making tenants is by invitation here: ask the operator.")
        if Membership.objects.filter(user=user, role=Role.OWNER).count() >= MOST_OWNED:
            raise NotAllowed(f"Nobody owns more than {MOST_OWNED} tenants: ask the operator.")
        _count_tenant(user, actor)
        return create_tenant(slug=slug, owner_email=user.email, name=name, actor=actor)


def _count_slug(user: User, actor: Actor) -> None:
    """Never given back: who made one tenant is not free to learn of all others."""
    account = str(user.pk)
    verdict = count_attempt(Kind.TENANT_SLUG, client_ip=actor.client_ip, account=account)
    if not verdict.allowed:
        minutes = max(1, round(verdict.retry_after_seconds / 60))
        raise NotAllowed(
            f"Too many short names were tried: try again in {minutes}"
            f" minute{'' if minutes == 1 else 's'}."
        )


def _count_tenant(user: User, actor: Actor) -> None:
    """Making and deleting in a loop would keep the database busy; the operator's commands may."""
    account = str(user.pk)
    verdict = count_attempt(Kind.NEW_TENANT, client_ip=actor.client_ip, account=account)
    if not verdict.allowed:
        hours = max(1, round(verdict.retry_after_seconds / 3600))
        raise NotAllowed(
            f"You made as many tenants as one may in a day: try again in {hours}"
            f" hour{'' if hours == 1 else 's'}, or ask the operator."
        )


def rename_tenant(*, tenant: Tenant, name: str, actor: Actor | str) -> None:
    """Give the tenant another name; its slug, and so its addresses, stay."""
    name = one_line(name, "name")
    with transaction.atomic(), public_schema():
        row = locked_tenant(tenant)
        if role_of(row, actor) not in (Role.OWNER, Role.ADMIN):
            raise NotAllowed("Only owners and admins give the tenant another name.")
        if row.name == name:
            return
        old, row.name = row.name, name
        row.full_clean()
        row.save(update_fields=["name"])
        with tenant_schema(row.pk):
            new = {"name": name}
            record_in_tenant("tenant.renamed", row.slug, actor=actor, old={"name": old}, new=new)
    tenant.name = name


def require_second_factor(*, tenant: Tenant, required: bool, actor: Actor | str) -> None:
    """Whether members without a second factor see anything. Raises `NotAllowed`.

    Who turns it on must have one: the page asks, because only it knows the session.
    """
    with transaction.atomic(), public_schema():
        row = locked_tenant(tenant)
        require_owner(row, actor)
        if row.requires_second_factor != required:
            old = {"required": row.requires_second_factor}
            row.requires_second_factor = required
            row.save(update_fields=["requires_second_factor"])
            record_in_both("tenant.second_factor", row, actor, old=old, new={"required": required})
    tenant.requires_second_factor = required


def pause_mail(*, tenant: Tenant, actor: Actor | str, reason: str = "") -> None:
    """Answer 450 to all mail of the tenant until an owner resumes it. Raises `NotAllowed`."""
    with transaction.atomic(), public_schema():
        row = locked_tenant(tenant)
        require_owner(row, actor)
        if row.standing != Tenant.Standing.ACTIVE:
            raise TenancyError(f"The mail of {row.slug} is stopped already.")
        set_standing(row, Tenant.Standing.SUSPENDED, actor, reason=reason, by_owner=True)
    tenant.standing, tenant.paused_by_owner = row.standing, row.paused_by_owner


def resume_mail(*, tenant: Tenant, actor: Actor | str) -> None:
    """Let mail flow that an owner paused. Raises `NotAllowed` for what an operator stopped."""
    with transaction.atomic(), public_schema():
        row = locked_tenant(tenant)
        require_owner(row, actor)
        if row.standing == Tenant.Standing.ACTIVE:
            return
        if not row.paused_by_owner:
            raise NotAllowed("The operator stopped this mail, and only he can let it flow again.")
        set_standing(row, Tenant.Standing.ACTIVE, actor)
    tenant.standing, tenant.paused_by_owner = row.standing, row.paused_by_owner


def delete_own_tenant(*, tenant: Tenant, typed: str, actor: Actor) -> dict[str, int]:
    """Erase the tenant, and tell its members. Raises `NotAllowed`, `NotConfirmed`."""
    with transaction.atomic(), public_schema():
        require_owner(locked_tenant(tenant), actor)
        members = Membership.objects.filter(tenant=tenant, user__is_active=True)
        addresses = list(members.order_by("id").values_list("user__email", flat=True))
        erased = delete_tenant(tenant=tenant, typed=typed, actor=actor)
        letters.tell_of_deletion(addresses, slug=tenant.slug)
    return erased
