"""The members of a tenant: their roles, removing and leaving, handing over ownership.

Each change holds the tenant's row, and reads the role of who acts under that lock: two owners who
demote each other at once leave one of them an owner, and who was removed a moment ago does nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.models import QuerySet

from tenants.audit import Actor, record_in_tenant
from tenants.changes import owners_changed
from tenants.context import public_schema, tenant_schema
from tenants.errors import LastOwner, NotAllowed, TenancyError, UnknownName
from tenants.models import Membership, Tenant
from tenants.people import Role, may_manage
from tenants.services import letters
from tenants.services.invitations import withdraw_those_of
from tenants.services.powers import locked_tenant, require_owner, role_of
from tenants.services.tenants import record_in_both


def change_role(
    *, tenant: Tenant, user_id: int, role: Membership.Role, actor: Actor | str
) -> Membership:
    """Give a member another role. Raises `NotAllowed`, `LastOwner`, `UnknownName`."""
    with _changing(tenant):
        member = _member(tenant, user_id)
        old = Role(member.role)
        _require_power_over(tenant, actor, old, role)
        if old == role:
            return member
        _keep_an_owner(tenant, member, still_owner=role == Role.OWNER)
        member.role = role
        member.full_clean()
        member.save(update_fields=["role"])
        _record(tenant, "member.role", member, actor, old={"role": old}, new={"role": role})
        _ownership_may_have_changed(tenant, old, role)
        withdraw_those_of(tenant=tenant, email=member.user.email, role=role, actor=actor)
        if not _is_self(member, actor):
            email, slug = member.user.email, tenant.slug
            letters.tell_of_role(email, slug=slug, role=role, tenant_id=tenant.pk)
    return member


def remove_member(*, tenant: Tenant, user_id: int, actor: Actor | str) -> None:
    """Take a member out; his sessions see nothing of the tenant from the next request on.

    What he made (keys, tokens, credentials) is the tenant's and stays. Raises as `change_role`.
    """
    with _changing(tenant):
        member = _member(tenant, user_id)
        role = Role(member.role)
        _require_power_over(tenant, actor, role, role)
        _take_out(tenant, member, "member.removed", actor)
        email, slug = member.user.email, tenant.slug
        letters.tell_of_removal(email, slug=slug, tenant_id=tenant.pk)


def leave_tenant(*, tenant: Tenant, user_id: int, actor: Actor | str) -> None:
    """Take oneself out. Raises `LastOwner` for the only owner, `UnknownName` for no member."""
    with _changing(tenant):
        _take_out(tenant, _member(tenant, user_id), "member.left", actor)


def hand_over(*, tenant: Tenant, user_id: int, actor: Actor) -> Membership:
    """Make another member owner, and who acts an admin. Every owner is told.

    Raises `NotAllowed`, `UnknownName`.
    """
    with _changing(tenant):
        require_owner(tenant, actor)
        heir = _member(tenant, user_id)
        if actor.user_id is None or user_id == actor.user_id:
            raise TenancyError("Choose another member to hand the tenant over to.")
        if not heir.user.is_active:
            raise TenancyError(f"{heir.user.email} may not sign in: choose another member.")
        giver = _member(tenant, actor.user_id)
        old = {"owner": giver.user.email, "role of the new owner": heir.role}
        heir.role, giver.role = Role.OWNER, Role.ADMIN
        for member in (heir, giver):
            member.save(update_fields=["role"])
        new = {"owner": heir.user.email, "role of the owner before": giver.role}
        record_in_both("tenant.handed_over", tenant, actor, old=old, new=new)
        owners_changed(tenant.pk)
        giver_email = giver.user.email
        withdraw_those_of(tenant=tenant, email=giver_email, role=Role.ADMIN, actor=actor)
        told = {giver_email, *_owners(tenant).values_list("user__email", flat=True)}
        letters.tell_of_new_owner(
            sorted(told), slug=tenant.slug, new_owner=heir.user.email, tenant_id=tenant.pk
        )
    return heir


@contextmanager
def _changing(tenant: Tenant) -> Iterator[None]:
    with transaction.atomic(), public_schema():
        locked_tenant(tenant)
        yield


def _member(tenant: Tenant, user_id: int) -> Membership:
    members = Membership.objects.select_related("user")
    member = members.filter(tenant=tenant, user_id=user_id).first()
    if member is None:
        raise UnknownName("This person is not a member any more.")
    return member


def _require_power_over(
    tenant: Tenant, actor: Actor | str, old: Membership.Role, new: Membership.Role
) -> None:
    role = role_of(tenant, actor)
    if not (may_manage(role, old) and may_manage(role, new)):
        raise NotAllowed(
            "Only an owner makes, changes or removes owners."
            if role == Role.ADMIN
            else "Only owners and admins change who belongs to the tenant."
        )


def _take_out(tenant: Tenant, member: Membership, action: str, actor: Actor | str) -> None:
    _keep_an_owner(tenant, member, still_owner=False)
    member.delete()
    _record(tenant, action, member, actor, old={"role": member.role})
    withdraw_those_of(tenant=tenant, email=member.user.email, role=None, actor=actor)
    _ownership_may_have_changed(tenant, member.role)


def _keep_an_owner(tenant: Tenant, member: Membership, *, still_owner: bool) -> None:
    """Raises `LastOwner`. An owner who may not sign in does not count."""
    if still_owner or member.role != Role.OWNER:
        return
    if not _owners(tenant).exclude(pk=member.pk).exists():
        raise LastOwner(
            f"{member.user.email} is the only owner: make somebody else owner first, or delete the "
            "tenant."
        )


def _owners(tenant: Tenant) -> QuerySet[Membership]:
    return Membership.objects.filter(tenant=tenant, role=Role.OWNER, user__is_active=True)


def _ownership_may_have_changed(tenant: Tenant, *roles: str) -> None:
    if Role.OWNER in roles:
        owners_changed(tenant.pk)


def _is_self(member: Membership, actor: Actor | str) -> bool:
    return isinstance(actor, Actor) and actor.user_id == member.user_id


def _record(
    tenant: Tenant,
    action: str,
    member: Membership,
    actor: Actor | str,
    *,
    old: object = None,
    new: object = None,
) -> None:
    with tenant_schema(tenant.pk):
        record_in_tenant(action, member.user.email, actor=actor, old=old, new=new)
