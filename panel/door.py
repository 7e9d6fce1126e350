"""The door of a tenant's pages: everything below `/t/<slug>/`.

| question | otherwise |
|---|---|
| signed in? | to the sign-in page, and back; what was typed is kept |
| a member of this tenant? | 404: nothing says whether the tenant exists |
| with a second factor, where the tenant wants one? | to the page that sets one up |
| in a role that may do this (`@needs`)? | 403 |
| proved lately who he is, where the view wants that? | to the page that asks, and back |

Then the tenant's schema is open while the view runs and while a streamed response is made. The slug
is not handed to the view: `request.place` has the tenant.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, cast
from urllib.parse import urlencode

from django.core.exceptions import ImproperlyConfigured
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from panel.access import Needs, Place, allows, place_of
from panel.client import client_ip
from panel.kept import keep_values, return_path
from panel.recency import is_recent
from tenants.audit import Actor
from tenants.context import tenant_schema
from tenants.models import Membership, Tenant, User
from tenants.selectors import active_grants

SIGN_IN: Final = "/sign-in/"
CONFIRM: Final = "/account/confirm/"
SECOND_FACTOR: Final = "/account/second-factor/"
NAMESPACE: Final = "tenant"

_IN_TENANT = re.compile(r"/t/([a-z][a-z0-9-]{0,39})/(?:([a-z-]*)/?)?").match


class TenantDoor:
    """Middleware; after authentication and messages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        where = _IN_TENANT(request.path_info)
        if where is None:
            return self.get_response(request)
        if not request.user.is_authenticated:
            keep_values(request)
            return to_page(SIGN_IN, back=return_path(request))
        place = _place(request, slug=where[1], section=where[2] or "")
        if place is None:
            return self.get_response(request)  # process_view says 404, as for an unknown address
        request.place = place  # type: ignore[attr-defined]
        with tenant_schema(place.tenant.pk):
            response = self.get_response(request)
        add_never_cache_headers(response)
        return _reopening(response, place.tenant.pk)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Judge whether this view may run. Views elsewhere pass untouched."""
        is_of_tenant = request.resolver_match is not None and (
            request.resolver_match.namespace == NAMESPACE
        )
        if not is_of_tenant and _IN_TENANT(request.path_info) is None:
            return None
        if not hasattr(request, "place"):
            raise Http404  # also for a slug that no tenant can have: `/t/Ada/`
        kwargs.pop("slug", None)
        wanted = getattr(view, "needs", None)
        if not isinstance(wanted, Needs):
            raise ImproperlyConfigured(f"{view} is a page of a tenant and says no @needs")
        return _turned_away(request, place_of(request), wanted)


def _turned_away(request: HttpRequest, place: Place, wanted: Needs) -> HttpResponse | None:
    user: Any = request.user
    if place.tenant.requires_second_factor and not user.is_verified():
        return to_page(SECOND_FACTOR, back=return_path(request))
    if not allows(place.role, wanted.role):
        return render(request, "panel/tenant/not_allowed.html", {"role": wanted.role}, status=403)
    if wanted.fresh and not is_recent(request):
        keep_values(request)
        return to_page(CONFIRM, back=return_path(request))
    return None


def to_page(address: str, *, back: str) -> HttpResponseRedirect:
    """Send the browser to a page of the account, and afterwards `back`."""
    response = HttpResponseRedirect(f"{address}?{urlencode({'next': back})}")
    response.status_code = 303
    add_never_cache_headers(response)
    return response


def _place(request: HttpRequest, *, slug: str, section: str) -> Place | None:
    user = cast(User, request.user)
    membership = (
        Membership.objects.select_related("tenant")
        .filter(user=user, tenant__slug=slug, user__is_active=True)
        .first()
    )
    if membership is None:
        return None
    tenant: Tenant = membership.tenant
    return Place(
        tenant=tenant,
        user=user,
        role=Membership.Role(membership.role),
        actor=Actor(user.email, user.pk, client_ip(request)),
        section=section,
        grants=tuple(active_grants(tenant.pk)),
    )


def _reopening(response: HttpResponseBase, tenant_id: int) -> HttpResponseBase:
    """A streamed response produces its octets after us: each piece in the same schema."""
    if isinstance(response, StreamingHttpResponse):
        pieces = cast(Iterable[bytes], response.streaming_content)
        response.streaming_content = _pieces(pieces, tenant_id)
    return response


def _pieces(pieces: Iterable[bytes], tenant_id: int) -> Iterator[bytes]:
    waiting = iter(pieces)
    while True:
        with tenant_schema(tenant_id):  # the server may use the connection in between
            piece = next(waiting, None)
        if piece is None:
            return
        yield piece
