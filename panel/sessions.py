"""Who is signed in in this browser: beginning a session, renewing its key, ending it.

A session lives as long as its row in the list that its owner sees (tenants/services/signins.py).
The middleware asks for that row on every request that comes with a session of somebody.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, login, logout, update_session_auth_hash
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_otp import login as login_device
from django_otp.plugins.otp_totp.models import TOTPDevice

from panel.client import client_ip
from panel.kept import forget_old_values
from panel.recency import mark_recent
from tenants.audit import Actor
from tenants.models import User
from tenants.services.signins import end_session, keep_session, living_session, rename_session

BACKEND = "django.contrib.auth.backends.ModelBackend"
WATCHED = "watch"


def sessions_are_listed(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware, after authentication: a session that is not in the list any more is over."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            request.web_session = _living(request)  # type: ignore[attr-defined]
            if request.web_session is None:  # type: ignore[attr-defined]
                logout(request)
            forget_old_values(request)
        return get_response(request)

    return respond


def _living(request: HttpRequest) -> Any:
    key = key_of(request)
    if not request.user.is_authenticated:  # the password was changed, or the account is gone
        end_session(session_key=key)
        return None
    return living_session(
        session_key=key, user_id=request.user.pk, is_used=not looks_by_itself(request)
    )


def looks_by_itself(request: HttpRequest) -> bool:
    """Whether a page that is watched asks again: that nobody is there it does not know."""
    return request.method in ("GET", "HEAD") and WATCHED in request.GET


def begin_session(request: HttpRequest, user: User, device: TOTPDevice | None) -> None:
    """Sign somebody in who has proved all that is asked of him; the session gets a new key."""
    before = key_of(request)
    login(request, user, backend=BACKEND)
    if device is not None:
        login_device(request, device)
    mark_recent(request)
    request.session.set_expiry(None)  # shorter while nobody was signed in (panel/kept.py)
    if not request.session.session_key:
        request.session.save()
    keep_session(
        user=user,
        session_key=key_of(request),
        client_ip=client_ip(request),
        user_agent=request.headers.get("User-Agent", ""),
        before=before,
    )


def renew_key(request: HttpRequest, user: User, device: TOTPDevice | None = None) -> None:
    """After a change of password or factor: the same session under a new key, the old one dead."""
    before = key_of(request)
    update_session_auth_hash(request, user)
    if device is not None:
        login_device(request, device)
    rename_session(old_key=before, new_key=key_of(request))


def finish_session(request: HttpRequest) -> None:
    """Sign out of this browser."""
    end_session(session_key=key_of(request))
    logout(request)


def key_of(request: HttpRequest) -> str:
    """The session's key, "" where there is no session yet."""
    return request.session.session_key or ""


def actor_of(request: HttpRequest) -> Actor:
    """The person who is signed in, as the audit names him."""
    user = person_of(request)
    return Actor(user.email, user.pk, client_ip(request))


def person_of(request: HttpRequest) -> User:
    """The person who is signed in. Only behind `signed_in`."""
    user: Any = request.user
    found: User = getattr(user, "_wrapped", user)
    return found if isinstance(found, User) else User.objects.get(pk=user.pk)
