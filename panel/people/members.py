"""Who belongs to the tenant: the list, roles, removing, leaving, handing over."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from panel.access import Place, Role, needs, place_of
from panel.editing import one_after_the_other
from panel.pages import done, page, submitted, typed
from panel.people.forms import HeirForm, RoleForm
from tenants.clock import database_now
from tenants.errors import TenancyError
from tenants.invitations import open_invitations
from tenants.models import Membership
from tenants.people import WHAT_A_ROLE_MAY, may_manage
from tenants.services.people import change_role, hand_over, leave_tenant, remove_member

MOST_SHOWN = 200


@needs(Role.VIEWER)
@require_safe
def people(request: HttpRequest) -> HttpResponse:
    """Members and open invitations; managers see what they may do with each."""
    place = place_of(request)
    members = _members(place)
    return page(
        request,
        "panel/people/people.html",
        members=[(one, may_manage(place.role, one.role)) for one in members],
        owners=sum(one.role == Role.OWNER for one in members),
        invitations=[
            (one, may_manage(place.role, one.role)) for one in open_invitations(place.tenant.pk)
        ]
        if place.may(Role.ADMIN)
        else [],
        now=database_now(),
        roles=[(role.value, text) for role, text in WHAT_A_ROLE_MAY.items()],
    )


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
@one_after_the_other
def role(request: HttpRequest, user_id: int) -> HttpResponse:
    """Another role for a member."""
    place, member = place_of(request), _member(request, user_id)
    _require_power(place, member)
    form = RoleForm(
        typed(request),
        by=place.role,
        current={"Role": member.role},
        initial={"role": member.role},
    )
    if submitted(request, form):
        try:
            changed = change_role(
                tenant=place.tenant,
                user_id=user_id,
                role=Role(form.cleaned_data["role"]),
                actor=place.actor,
            )
        except TenancyError as error:
            form.refuse("role", error)
        else:
            return done(request, f"{member.user.email} is {changed.role} now.", _people(place))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading=f"Role of {member.user.email}",
        lead="They are told by mail. It holds from their next click on.",
        button="Change the role",
        cancel=_people(place),
    )


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, user_id: int) -> HttpResponse:
    """What a member loses, and the button that removes him."""
    place, member = place_of(request), _member(request, user_id)
    _require_power(place, member)
    refusal = None
    if request.method == "POST":
        try:
            remove_member(tenant=place.tenant, user_id=user_id, actor=place.actor)
        except TenancyError as error:
            refusal = str(error)
        else:
            where = "/t/" if user_id == place.user.pk else _people(place)
            return done(request, f"{member.user.email} does not belong here any more.", where)
    return page(
        request,
        "panel/people/remove.html",
        status=409 if refusal else None,
        member=member,
        refusal=refusal,
    )


@needs(Role.VIEWER)
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest) -> HttpResponse:
    """Leaving the tenant oneself."""
    place = place_of(request)
    refusal = None
    if request.method == "POST":
        try:
            leave_tenant(tenant=place.tenant, user_id=place.user.pk, actor=place.actor)
        except TenancyError as error:
            refusal = str(error)
        else:
            return done(request, f"You left {place.tenant.name or place.tenant.slug}.", "/t/")
    return page(
        request, "panel/people/leave.html", status=409 if refusal else None, refusal=refusal
    )


@needs(Role.OWNER, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def hand_it_over(request: HttpRequest) -> HttpResponse:
    """Another owner in one's own place."""
    place = place_of(request)
    others = [one for one in _members(place) if one.user_id != place.user.pk and one.user.is_active]
    form = HeirForm(typed(request), others=others)
    if submitted(request, form):
        heir = form.cleaned_data["heir"]
        try:
            new = hand_over(tenant=place.tenant, user_id=heir, actor=place.actor)
        except TenancyError as error:
            form.refuse("heir", error)
        else:
            text = f"{new.user.email} owns the tenant now; you are an admin."
            return done(request, text, _people(place))
    return page(request, "panel/people/hand_over.html", form=form, others=others)


def _members(place: Place) -> list[Membership]:
    members = Membership.objects.filter(tenant=place.tenant).select_related("user")
    return list(members.order_by("user__email")[:MOST_SHOWN])


def _member(request: HttpRequest, user_id: int) -> Membership:
    """Somebody of this tenant; anybody else is not there."""
    members = Membership.objects.filter(tenant=place_of(request).tenant, user_id=user_id)
    member = members.select_related("user").first()
    if member is None:
        raise Http404
    return member


def _require_power(place: Place, member: Membership) -> None:
    """An admin has no page about an owner: the list shows no link to one either."""
    if not may_manage(place.role, member.role):
        raise Http404


def _people(place: Place) -> str:
    return place.url("people")
