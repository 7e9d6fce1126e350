"""Making an account: an address, a mail, and behind its link a password.

Whoever asks sees the same page whether the address has an account or not; what there is to say
about that stands in the mail.
"""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from panel.account.forms import AskForm, SignUpForm
from panel.account.guards import private, slow_down
from panel.client import client_ip
from panel.landing import home_of
from panel.pages import done, page, see, submitted
from panel.sessions import begin_session
from tenants.errors import AccountRefused, LinkGone, TenancyError
from tenants.services.account_links import address_of_sign_up, ask_to_sign_up
from tenants.services.accounts import create_account, mailbox


@require_http_methods(["GET", "HEAD", "POST"])
@private
def ask(request: HttpRequest) -> HttpResponse:
    """The address that shall have an account. 404 where only invited people may."""
    if not settings.ENV.sign_up:
        raise Http404
    if request.user.is_authenticated:
        return see(home_of(request.user))
    form = AskForm(request.POST if request.method == "POST" else None)
    if submitted(request, form):
        try:
            address = mailbox(form.cleaned_data["email"])
        except AccountRefused as refused:
            form.refuse("email", refused)
        else:
            verdict = ask_to_sign_up(address=address, client_ip=client_ip(request))
            if not verdict.allowed and not verdict.only_account:
                return slow_down(request, verdict)
            return see("/sign-up/mailed/")
    return page(request, "panel/account/sign_up.html", form=form)


@require_safe
@private
def asked(request: HttpRequest) -> HttpResponse:
    """A mail is on its way, perhaps."""
    if not settings.ENV.sign_up:
        raise Http404
    return page(request, "panel/account/mailed.html", purpose="sign-up")


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@private
def finish(request: HttpRequest, token: str) -> HttpResponse:
    """Behind the link: name and password; the account is made by the button."""
    try:
        if not settings.ENV.sign_up:
            raise LinkGone("Accounts are made by invitation.")
        address = address_of_sign_up(token)
    except LinkGone:
        return page(request, "panel/account/gone.html", status=404, again="/sign-up/")
    form = SignUpForm(request.POST if request.method == "POST" else None)
    if submitted(request, form):
        try:
            user = create_account(token=token, client_ip=client_ip(request), **form.cleaned_data)
        except ValidationError as error:
            form.add_error("password", error)
        except TenancyError as refused:
            form.refuse(None, refused)
        else:
            begin_session(request, user, None)
            return done(request, f"Welcome. You sign in as {user.email}.", home_of(user))
    return page(request, "panel/account/sign_up_finish.html", form=form, address=address)
