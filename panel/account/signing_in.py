"""Signing in, in one step or two, and out.

| step | what is known then | the session |
|---|---|---|
| address and password | who it claims to be | holds that for ten minutes, under a new key |
| code, where the account has a second factor | who it is | signed in, under a new key again |

Between the two nobody is signed in: no page but the next step knows the person.
"""

import time
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django_otp.plugins.otp_totp.models import TOTPDevice

from panel.account.forms import CodeForm, SignInForm
from panel.account.guards import private, slow_down
from panel.account.texts import CODE, SIGN_IN, WRONG_CODE, WRONG_PASSWORD
from panel.client import client_ip
from panel.landing import home_of, local_path, wanted_path
from panel.pages import done, page, see, submitted
from panel.sessions import begin_session, finish_session
from tenants.audit import Actor
from tenants.limits import Kind, attempt_succeeded, count_attempt
from tenants.models import User
from tenants.otp import check_code, device_of
from tenants.services.factors import FEW_CODES, recovery_codes_left, use_recovery_code

PENDING: Final = "sign_in"
PENDING_SECONDS: Final = 600


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@private
def sign_in(request: HttpRequest) -> HttpResponse:
    """Address and password."""
    wanted = wanted_path(request)
    if request.user.is_authenticated:
        return see(wanted or home_of(request.user))
    form = SignInForm(request.POST if request.method == "POST" else None, initial={"next": wanted})
    if submitted(request, form):
        address = form.cleaned_data["email"].strip().lower()
        verdict = count_attempt(Kind.SIGN_IN, client_ip=client_ip(request), account=address)
        if not verdict.allowed:
            return slow_down(request, verdict)
        user: Any = authenticate(request, username=address, password=form.cleaned_data["password"])
        if user is not None:
            return _knows_the_password(request, user, wanted)
        form.add_error(None, WRONG_PASSWORD)
    may_sign_up = settings.ENV.sign_up
    return page(request, "panel/account/sign_in.html", form=form, may_sign_up=may_sign_up)


def _knows_the_password(request: HttpRequest, user: User, wanted: str) -> HttpResponse:
    if device_of(user) is None:
        return _is_in(request, user, None, wanted)
    request.session.cycle_key()
    request.session[PENDING] = {
        "user": user.pk,
        "state": user.get_session_auth_hash(),
        "until": int(time.time()) + PENDING_SECONDS,
        "next": wanted,
    }
    return see(CODE)


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@private
def code(request: HttpRequest) -> HttpResponse:
    """The second step: a code, or a recovery code."""
    if request.user.is_authenticated:
        return see(home_of(request.user))
    user = _pending_user(request)
    if user is None:
        request.session.pop(PENDING, None)
        return see(SIGN_IN)
    form = CodeForm(request.POST if request.method == "POST" else None)
    if submitted(request, form):
        where = client_ip(request)
        verdict = count_attempt(Kind.SECOND_FACTOR, client_ip=where, account=user.email)
        if not verdict.allowed:
            return slow_down(request, verdict)
        device = proved_by_code(request, user, form.cleaned_data["code"])
        if device is not None:
            attempt_succeeded(Kind.SECOND_FACTOR, client_ip=where, account=user.email)
            wanted = local_path(request.session.pop(PENDING)["next"])
            return _is_in(request, user, device, wanted)
        form.add_error("code", WRONG_CODE)
    return page(request, "panel/account/code.html", form=form)


def proved_by_code(request: HttpRequest, user: User, code: str) -> TOTPDevice | None:
    """The person's factor, where the code is its own or a recovery code."""
    device = check_code(user, code)
    if device is not None:
        return device
    actor = Actor(user.email, user.pk, client_ip(request))
    if not code.isdigit() and use_recovery_code(user=user, code=code, actor=actor):
        return device_of(user)
    return None


def _pending_user(request: HttpRequest) -> User | None:
    """Who has given the right password in this browser, lately."""
    pending = request.session.get(PENDING)
    if not isinstance(pending, dict) or pending["until"] < time.time():
        return None
    user: User | None = User.objects.filter(pk=pending["user"], is_active=True).first()
    if user is None or not constant_time_compare(pending["state"], user.get_session_auth_hash()):
        return None  # the password was changed meanwhile
    return user if device_of(user) is not None else None


def _is_in(
    request: HttpRequest, user: User, device: TOTPDevice | None, wanted: str
) -> HttpResponse:
    begin_session(request, user, device)
    attempt_succeeded(Kind.SIGN_IN, client_ip=client_ip(request), account=user.email)
    where = wanted or home_of(user)
    left = recovery_codes_left(user) if device is not None else FEW_CODES + 1
    if left > FEW_CODES:
        return see(where)
    few = f"You have {left} recovery {'code' if left == 1 else 'codes'} left."
    return done(request, f"{few} Make new ones on your account's page.", where)


@require_POST
@private
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends this browser's session."""
    finish_session(request)
    return done(request, "You are signed out.", SIGN_IN)
