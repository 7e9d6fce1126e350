"""Proving again who one is, before what an open browser alone should not be enough for."""

from typing import Any

from django.contrib.auth.hashers import check_password
from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from panel.account.forms import ProveByCodeForm, ProveForm
from panel.account.guards import signed_in, slow_down
from panel.account.signing_in import proved_by_code
from panel.account.texts import ACCOUNT, WRONG_CODE
from panel.client import client_ip
from panel.landing import wanted_path
from panel.pages import page, see, submitted
from panel.recency import mark_recent
from panel.sessions import person_of
from tenants.limits import Kind, attempt_succeeded, count_attempt
from tenants.models import User
from tenants.otp import device_of


@sensitive_post_parameters("password", "code")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def confirm(request: HttpRequest) -> HttpResponse:
    """A code where the account has a second factor, the password where it has none."""
    user, wanted = person_of(request), wanted_path(request) or ACCOUNT
    has_factor = device_of(user) is not None
    kind: Any = ProveByCodeForm if has_factor else ProveForm
    form = kind(request.POST if request.method == "POST" else None, initial={"next": wanted})
    if submitted(request, form):
        where = client_ip(request)
        verdict = count_attempt(Kind.CONFIRM, client_ip=where, account=user.email)
        if not verdict.allowed:
            return slow_down(request, verdict)
        if _proved(request, user, form.cleaned_data):
            attempt_succeeded(Kind.CONFIRM, client_ip=where, account=user.email)
            mark_recent(request)
            return see(wanted)
        if has_factor:
            form.add_error("code", WRONG_CODE)
        else:
            form.add_error("password", "This is not your password.")
    return page(request, "panel/account/confirm.html", form=form, wanted=wanted)


def _proved(request: HttpRequest, user: User, given: dict[str, Any]) -> bool:
    if "code" in given:
        return proved_by_code(request, user, given["code"]) is not None
    return check_password(given["password"], user.password)
