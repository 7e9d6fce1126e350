"""Outside a tenant: which ones a person belongs to, and making one."""

from typing import cast

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from panel.account.guards import signed_in
from panel.client import client_ip
from panel.pages import done, page, submitted, typed
from panel.people.forms import NewTenantForm
from tenants.audit import Actor
from tenants.errors import BadSlug, NameTaken, TenancyError
from tenants.invitations import waiting_for
from tenants.models import Membership, User
from tenants.services.owners import make_own_tenant, may_make_tenants

MOST_SHOWN = 200


def actor_of(request: HttpRequest) -> Actor:
    """Who acts outside a tenant."""
    user = cast(User, request.user)
    return Actor(user.email, user.pk, client_ip(request))


@signed_in
@require_safe
def tenants(request: HttpRequest) -> HttpResponse:
    """The person's tenants, and invitations that wait for an answer."""
    user = cast(User, request.user)
    members = Membership.objects.filter(user=user).select_related("tenant")
    return page(
        request,
        "panel/people/tenants.html",
        members=list(members.order_by("tenant__slug")[:MOST_SHOWN]),
        invitations=waiting_for(user),
        may_make=may_make_tenants(user),
    )


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def new_tenant(request: HttpRequest) -> HttpResponse:
    """A tenant of one's own."""
    user = cast(User, request.user)
    if not may_make_tenants(user):
        raise Http404
    form = NewTenantForm(typed(request))
    if submitted(request, form):
        slug, name = form.cleaned_data["slug"], form.cleaned_data["name"]
        try:
            tenant = make_own_tenant(user=user, slug=slug, name=name, actor=actor_of(request))
        except (BadSlug, NameTaken) as error:
            form.refuse("slug", error)
        except TenancyError as error:
            form.refuse(None, error)
        else:
            return done(request, f"{tenant.name or tenant.slug} is ready.", f"/t/{tenant.slug}/")
    return page(request, "panel/people/new_tenant.html", form=form)
