"""The account itself: who one is here, the browsers one is signed in in, and the end of it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.account.browsers import browser_words
from panel.account.forms import AskForm, DeleteForm, NameForm
from panel.account.guards import signed_in, slow_down
from panel.account.texts import ACCOUNT, SESSIONS, SIGN_IN
from panel.client import client_ip
from panel.pages import done, page, submitted, typed
from panel.sessions import actor_of, finish_session, key_of, person_of
from tenants.errors import AccountRefused, LinkGone, TenancyError, UnknownName
from tenants.otp import device_of
from tenants.services.account_links import ask_for_new_address, new_address_of
from tenants.services.accounts import (
    change_address,
    change_name,
    delete_account,
    mailbox,
    sole_tenants,
)
from tenants.services.factors import FEW_CODES, recovery_codes_left
from tenants.services.signins import end_listed_session, end_sessions


@require_safe
@signed_in
def account(request: HttpRequest) -> HttpResponse:
    """What the account is, and the ways to change it."""
    user = person_of(request)
    return page(
        request,
        "panel/account/account.html",
        person=user,
        has_factor=device_of(user) is not None,
        codes_left=recovery_codes_left(user),
        few=FEW_CODES,
        sessions=user.web_sessions.count(),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def name(request: HttpRequest) -> HttpResponse:
    """What others see beside the address."""
    user = person_of(request)
    form = NameForm(typed(request), initial={"name": user.name})
    if submitted(request, form):
        try:
            change_name(user=user, name=form.cleaned_data["name"], actor=actor_of(request))
        except TenancyError as refused:
            form.refuse("name", refused)
        else:
            return done(request, "Your name is saved.", ACCOUNT)
    return page(
        request,
        "panel/account/form.html",
        form=form,
        heading="Your name",
        lead="Others in your tenants see it beside your address.",
        cancel=ACCOUNT,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in(fresh=True)
def address(request: HttpRequest) -> HttpResponse:
    """Asks the new address by mail; nothing changes before its link was opened."""
    user = person_of(request)
    form = AskForm(typed(request))
    form.fields["email"].label = "New e-mail address"
    if submitted(request, form):
        try:
            new = mailbox(form.cleaned_data["email"])
        except AccountRefused as refused:
            form.refuse("email", refused)
        else:
            if new == user.email:
                form.add_error("email", "This is your address already.")
            else:
                verdict = ask_for_new_address(user=user, address=new, client_ip=client_ip(request))
                if not verdict.allowed and not verdict.only_account:
                    return slow_down(request, verdict)
                text = f"A mail is on its way to {new}. Open its link in this browser."
                return done(request, text, ACCOUNT)
    return page(
        request,
        "panel/account/form.html",
        form=form,
        heading="Change your address",
        lead=f"You sign in as {user.email} until the link in a mail to the new one was opened.",
        button="Send the mail",
        cancel=ACCOUNT,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def confirm_address(request: HttpRequest, token: str) -> HttpResponse:
    """Behind the link, signed in: whoever got it by a slip of typing cannot take the account."""
    user = person_of(request)
    try:
        new = new_address_of(user, token)
    except LinkGone:
        return page(request, "panel/account/gone.html", status=404, again="/account/address/")
    problem = ""
    if request.method == "POST":
        try:
            change_address(user=user, token=token, actor=actor_of(request))
        except TenancyError as refused:
            problem = str(refused)
        else:
            return done(request, f"From now on you sign in as {new}.", ACCOUNT)
    return page(
        request,
        "panel/account/confirm_address.html",
        status=409 if problem else None,
        new=new,
        old=user.email,
        problem=problem,
    )


@require_safe
@signed_in
def sessions(request: HttpRequest) -> HttpResponse:
    """Every browser in which the person is signed in."""
    rows = list(person_of(request).web_sessions.all()[:100])
    here = key_of(request)
    return page(
        request,
        "panel/account/sessions.html",
        sessions=[(row, browser_words(row.user_agent), row.session_key == here) for row in rows],
    )


@require_POST
@signed_in
def end_one(request: HttpRequest, session_id: int) -> HttpResponse:
    """Signs one browser out."""
    try:
        ended = end_listed_session(
            user=person_of(request), session_id=session_id, actor=actor_of(request)
        )
    except UnknownName:
        raise Http404 from None
    if ended.session_key == key_of(request):
        finish_session(request)
        return done(request, "You are signed out.", SIGN_IN)
    return done(request, "The session is ended.", SESSIONS)


@require_POST
@signed_in
def end_all(request: HttpRequest) -> HttpResponse:
    """Signs out everywhere, here too."""
    ended = end_sessions(user=person_of(request), actor=actor_of(request), kept_session="")
    finish_session(request)
    return done(request, f"You are signed out everywhere ({ended} sessions).", SIGN_IN)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in(fresh=True)
def delete(request: HttpRequest) -> HttpResponse:
    """Erases the account, with its address typed."""
    user = person_of(request)
    form = DeleteForm(request.POST if request.method == "POST" else None)
    if submitted(request, form):
        try:
            delete_account(user=user, typed=form.cleaned_data["email"], actor=actor_of(request))
        except TenancyError as refused:
            form.refuse("email", refused)
        else:
            finish_session(request)
            return done(request, "Your account is deleted.", SIGN_IN)
    memberships = user.memberships.select_related("tenant").order_by("tenant__slug")
    return page(
        request,
        "panel/account/delete.html",
        form=form,
        person=user,
        alone=sole_tenants(user),
        tenants=[member.tenant.slug for member in memberships],
    )
