"""Inviting somebody, sending the link again, withdrawing it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from panel.access import Role, needs, place_of
from panel.pages import done, not_done, page, submitted, typed
from panel.people.forms import InviteForm
from tenants.errors import InvitationRefused, NameTaken, NotAllowed, TenancyError, UnknownName
from tenants.services.invitations import Invited, invite, send_again, withdraw


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def invite_somebody(request: HttpRequest) -> HttpResponse:
    """An address and a role."""
    place = place_of(request)
    form = InviteForm(typed(request), by=place.role)
    if submitted(request, form):
        try:
            made = invite(
                tenant=place.tenant,
                email=form.cleaned_data["email"],
                role=Role(form.cleaned_data["role"]),
                actor=place.actor,
            )
        except (InvitationRefused, NameTaken) as error:
            form.refuse("email", error)
        except NotAllowed as error:
            form.refuse("role", error)
        else:
            return done(request, _told(made), place.url("people"))
    return page(
        request,
        "panel/tenant/form.html",
        form=form,
        heading="Invite somebody",
        button="Invite",
        cancel=place.url("people"),
    )


@needs(Role.ADMIN)
@require_POST
def again(request: HttpRequest, invitation_id: int) -> HttpResponse:
    """A new link; the old one is void."""
    place = place_of(request)
    try:
        made = send_again(tenant=place.tenant, invitation_id=invitation_id, actor=place.actor)
    except UnknownName:
        raise Http404 from None
    except TenancyError as error:
        return not_done(request, str(error), place.url("people"))
    return done(request, _told(made), place.url("people"))


@needs(Role.ADMIN)
@require_POST
def withdraw_it(request: HttpRequest, invitation_id: int) -> HttpResponse:
    """The link is dead."""
    place = place_of(request)
    try:
        gone = withdraw(tenant=place.tenant, invitation_id=invitation_id, actor=place.actor)
    except UnknownName:
        raise Http404 from None
    except TenancyError as error:
        return not_done(request, str(error), place.url("people"))
    return done(request, f"The invitation of {gone.email} is withdrawn.", place.url("people"))


def _told(made: Invited) -> str:
    """What happened, and no more than a tenant may know of others."""
    if made.mailed:
        return f"A mail with a link is on its way to {made.invitation.email}."
    return (
        f"{made.invitation.email} is invited, but no mail was sent: the address got one within the "
        "last day, did not answer many, or wants none from this service. Who has an account here "
        "finds the invitation under “Your tenants”. You can send it again tomorrow."
    )
