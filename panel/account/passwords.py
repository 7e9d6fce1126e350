"""Passwords: a new one by a link in a mail, or by whoever is signed in and knows the old one."""

from django.contrib.auth.hashers import check_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from panel.account.forms import AskForm, ChangePasswordForm, PasswordForm
from panel.account.guards import private, signed_in, slow_down
from panel.account.texts import ACCOUNT, SIGN_IN
from panel.client import client_ip
from panel.pages import done, page, see, submitted
from panel.sessions import actor_of, finish_session, key_of, person_of, renew_key
from tenants.errors import LinkGone
from tenants.limits import Kind, attempt_succeeded, count_attempt, know_client
from tenants.services.account_links import ask_for_reset, user_of_reset
from tenants.services.accounts import change_password, reset_password


@require_http_methods(["GET", "HEAD", "POST"])
@private
def ask(request: HttpRequest) -> HttpResponse:
    """Mail a link; the answer is the same whether there is an account or not."""
    form = AskForm(request.POST if request.method == "POST" else None)
    if submitted(request, form):
        address = form.cleaned_data["email"].strip().lower()
        verdict = ask_for_reset(address=address, client_ip=client_ip(request))
        if not verdict.allowed and not verdict.only_account:
            return slow_down(request, verdict)
        return see("/password/mailed/")
    return page(request, "panel/account/reset.html", form=form)


@require_safe
@private
def asked(request: HttpRequest) -> HttpResponse:
    """A mail is on its way, perhaps."""
    return page(request, "panel/account/mailed.html", purpose="password")


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@private
def reset(request: HttpRequest, user_id: str, token: str) -> HttpResponse:
    """Behind the link: a new password. Nobody is signed in by it: a second factor is asked for."""
    user = user_of_reset(user_id, token)
    if user is None:
        return page(request, "panel/account/gone.html", status=404, again="/password/")
    form = PasswordForm(request.POST if request.method == "POST" else None)
    if submitted(request, form):
        where = client_ip(request)
        try:
            user = reset_password(
                user_id=user_id,
                token=token,
                password=form.cleaned_data["password"],
                client_ip=where,
            )
        except ValidationError as error:
            form.add_error("password", error)
        except LinkGone:
            return page(request, "panel/account/gone.html", status=404, again="/password/")
        else:
            if request.user.is_authenticated:
                finish_session(request)
            # Who reads this mailbox is the owner: strangers' guesses do not keep him out.
            know_client(Kind.SIGN_IN, client_ip=where, account=user.email)
            return done(request, "The new password is set. Sign in with it.", SIGN_IN)
    return page(request, "panel/account/reset_finish.html", form=form, address=user.email)


@sensitive_post_parameters("current", "password")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in(fresh=True)
def change(request: HttpRequest) -> HttpResponse:
    """A new password for whoever knows the one now."""
    user = person_of(request)
    form = ChangePasswordForm(request.POST if request.method == "POST" else None)
    if submitted(request, form):
        where = client_ip(request)
        verdict = count_attempt(Kind.CONFIRM, client_ip=where, account=user.email)
        if not verdict.allowed:
            return slow_down(request, verdict)
        if not check_password(form.cleaned_data["current"], user.password):
            form.add_error("current", "This is not your password.")
        else:
            attempt_succeeded(Kind.CONFIRM, client_ip=where, account=user.email)
            try:
                change_password(
                    user=user,
                    password=form.cleaned_data["password"],
                    actor=actor_of(request),
                    kept_session=key_of(request),
                )
            except ValidationError as error:
                form.add_error("password", error)
            else:
                renew_key(request, user)
                return done(
                    request, "Your password is changed. Other sessions are signed out.", ACCOUNT
                )
    return page(
        request,
        "panel/account/form.html",
        form=form,
        heading="Change your password",
        lead="All your other sessions end.",
        button="Change the password",
        cancel=ACCOUNT,
    )
