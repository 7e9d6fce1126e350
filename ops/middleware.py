"""The door of both admin sites: who may enter, in which role, and into which tenant.

| address | demands | opens |
|---|---|---|
| `/admin/…` | staff, signed in with a second factor | the role mxax_support |
| `/admin/t/<slug>/…` | that, and an active grant | the same, and the tenant's schema |

For a tenant the prefix becomes SCRIPT_NAME, so that one URLconf serves every tenant and links stay
under the prefix. Everything is undone in `finally`; what a streamed response still has to produce
opens the same door again for itself.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import connection
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.urls import get_script_prefix, set_script_prefix, set_urlconf
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from ops.grants import active_grant
from tenants.audit import Actor
from tenants.clients import client_ip
from tenants.context import tenant_schema
from tenants.isolation import SUPPORT
from tenants.models import SupportGrant, Tenant, User

SHARED_PREFIX: Final = "/admin/"
TENANT_URLCONF: Final = "ops.tenant_urls"

_IN_TENANT = re.compile(r"(/admin/t/([a-z][a-z0-9-]{0,39}))(/.*)?").fullmatch

Respond = Callable[[HttpRequest], HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Support:
    """Who of support asks, and where: `request.support`, which the sites refuse to work without."""

    staff: User
    actor: Actor
    tenant: Tenant | None = None
    grant: SupportGrant | None = None

    @property
    def minutes_left(self) -> int:
        """Until the grant ends by itself; what is begun counts."""
        if self.grant is None:
            return 0
        return max(0, math.ceil((self.grant.ends_at - timezone.now()).total_seconds() / 60))


def support_of(request: HttpRequest) -> Support:
    """Who asks, and where. Only behind the door."""
    return request.support  # type: ignore[attr-defined]


def support_door(get_response: Respond) -> Respond:
    """Opens and closes the admin sites; other addresses pass untouched."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(SHARED_PREFIX):
            return get_response(request)
        place = _IN_TENANT(request.path_info)
        staff = _verified_staff(request)
        if staff is None:
            # The shared site shows its sign-in page itself; nothing says whether a slug exists.
            return redirect_to_sign_in(request) if place else get_response(request)
        with acting_for(staff):
            _set(request, Support(staff, _actor(request, staff)))
            response = _in_tenant(get_response, request, place) if place else get_response(request)
        if isinstance(response, HttpResponse):
            add_never_cache_headers(response)
        return _reopening(response, support_of(request))

    return respond


def _set(request: HttpRequest, support: Support) -> None:
    request.support = support  # type: ignore[attr-defined]


def redirect_to_sign_in(request: HttpRequest) -> HttpResponse:
    return redirect_to_login(request.get_full_path(), f"{SHARED_PREFIX}login/")


def _verified_staff(request: HttpRequest) -> User | None:
    user: Any = request.user
    verified = user.is_authenticated and user.is_active and user.is_staff and user.is_verified()
    return user if verified else None


def _actor(request: HttpRequest, staff: User) -> Actor:
    return Actor(staff.email, staff.pk, client_ip(request))


@contextmanager
def acting_for(staff: User) -> Iterator[None]:
    """The connection in the role of support, with the member of staff whose grants count."""
    role = SUPPORT if settings.ENV.database_roles else ""
    own: Any = connection
    own.act_as(role=role, staff_id=staff.pk)
    try:
        yield
    finally:
        own.act_as_itself()


def _in_tenant(
    get_response: Respond, request: HttpRequest, place: re.Match[str]
) -> HttpResponseBase:
    prefix, slug, rest = place.groups()
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        return get_response(request)  # the shared site says 404
    asking = support_of(request)
    grant = active_grant(staff_id=asking.staff.pk, tenant_id=tenant.pk)
    if grant is None:
        asked = urlencode({"next": request.get_full_path()})
        return HttpResponseRedirect(f"{SHARED_PREFIX}grant/{slug}/?{asked}")
    if rest is None:
        return HttpResponseRedirect(f"{prefix}/")
    _set(request, Support(asking.staff, asking.actor, tenant, grant))
    with _under(request, prefix, rest), tenant_schema(tenant.pk):
        return get_response(request)


@contextmanager
def _under(request: HttpRequest, prefix: str, rest: str) -> Iterator[None]:
    """The tenant's site, mounted at the prefix."""
    path_info, script_name = request.path_info, request.META.get("SCRIPT_NAME", "")
    script_prefix = get_script_prefix()
    try:
        request.path_info, request.META["SCRIPT_NAME"] = rest, script_name + prefix
        request.urlconf = TENANT_URLCONF
        set_script_prefix(f"{script_name}{prefix}/")
        yield
    finally:
        request.path_info, request.META["SCRIPT_NAME"] = path_info, script_name
        del request.urlconf
        set_urlconf(settings.ROOT_URLCONF)
        set_script_prefix(script_prefix)


def _reopening(response: HttpResponseBase, support: Support) -> HttpResponseBase:
    """A streamed response produces its octets after us: each piece under the same door."""
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = _pieces(
            cast(Iterable[bytes], response.streaming_content), support
        )
    return response


def _pieces(pieces: Iterable[bytes], support: Support) -> Iterator[bytes]:
    waiting = iter(pieces)
    while True:
        # Opened for each piece: the server may do other work on this connection in between.
        with acting_for(support.staff):
            if support.tenant is None:
                piece = next(waiting, None)
            else:
                with tenant_schema(support.tenant.pk):
                    piece = next(waiting, None)
        if piece is None:
            return
        yield piece
