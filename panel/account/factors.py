"""The second factor and its recovery codes: set up, confirmed by a code, made anew, removed."""

from typing import Final

import segno
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.account.forms import CodeForm
from panel.account.guards import signed_in
from panel.account.texts import FACTOR
from panel.landing import local_path, wanted_path
from panel.pages import done, not_done, page, see, submitted
from panel.sessions import actor_of, key_of, person_of, renew_key
from panel.shown_once import keep_for_page, take_for_page
from tenants.errors import AccountRefused
from tenants.otp import device_of, printed_secret
from tenants.services.factors import (
    FEW_CODES,
    begin_factor,
    confirm_factor,
    recovery_codes_left,
    remove_factor,
    renew_recovery_codes,
)

SET_UP: Final = "/account/second-factor/set-up/"
CODES: Final = "/account/recovery-codes/shown/"
_BACK: Final = "after_second_factor"


@require_safe
@signed_in
def factor(request: HttpRequest) -> HttpResponse:
    """Whether there is a second factor, and what can be done about it."""
    user = person_of(request)
    demanding = user.memberships.filter(tenant__requires_second_factor=True)
    return page(
        request,
        "panel/account/factor.html",
        device=device_of(user),
        codes_left=recovery_codes_left(user),
        few=FEW_CODES,
        wanted=wanted_path(request),
        demanded_by=list(demanding.values_list("tenant__slug", flat=True)),
    )


@require_POST
@signed_in(fresh=True)
def begin(request: HttpRequest) -> HttpResponse:
    """A new secret, which counts once its first code was typed."""
    try:
        begin_factor(user=person_of(request))
    except AccountRefused as refused:
        return not_done(request, str(refused), FACTOR)
    request.session[_BACK] = wanted_path(request)
    return see(SET_UP)


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in(fresh=True)
def set_up(request: HttpRequest) -> HttpResponse:
    """The secret to scan, and the field for its first code."""
    user = person_of(request)
    waiting = device_of(user, confirmed=False)
    if waiting is None:
        return see(FACTOR)
    form = CodeForm(request.POST if request.method == "POST" else None)
    form.fields["code"].help_text = "Six digits that the authenticator shows now."
    if submitted(request, form):
        try:
            codes = confirm_factor(
                user=user,
                code=form.cleaned_data["code"],
                actor=actor_of(request),
                kept_session=key_of(request),
            )
        except AccountRefused as refused:
            form.refuse("code", refused)
        else:
            renew_key(request, user, device_of(user))
            return _show(request, codes)
    return page(
        request,
        "panel/account/set_up.html",
        form=form,
        qr=qr_code(waiting.config_url),
        secret=_in_fours(printed_secret(waiting)),
        replaces=device_of(user) is not None,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in(fresh=True)
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """New codes in place of the old ones."""
    user = person_of(request)
    if device_of(user) is None:
        return see(FACTOR)
    if request.method == "POST":
        return _show(request, renew_recovery_codes(user=user, actor=actor_of(request)))
    left = recovery_codes_left(user)
    return page(request, "panel/account/recovery_codes.html", codes_left=left)


@require_safe
@signed_in
def shown_codes(request: HttpRequest) -> HttpResponse:
    """The codes just made; a reload has nothing to show any more."""
    values = take_for_page(request) or {}
    codes = values.get("recovery_codes", "").split()
    if not codes:
        return not_done(request, "Recovery codes are shown once. You can make new ones.", FACTOR)
    back = local_path(request.session.pop(_BACK, "")) or FACTOR
    return page(request, "panel/account/shown_codes.html", codes=codes, back=back)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in(fresh=True)
def remove(request: HttpRequest) -> HttpResponse:
    """Takes the second factor away."""
    user = person_of(request)
    if device_of(user) is None:
        return see(FACTOR)
    if request.method == "POST":
        try:
            remove_factor(user=user, actor=actor_of(request), kept_session=key_of(request))
        except AccountRefused as refused:
            return not_done(request, str(refused), FACTOR)
        renew_key(request, user)
        return done(request, "The second factor is removed.", FACTOR)
    demanding = user.memberships.filter(tenant__requires_second_factor=True)
    slugs = list(demanding.values_list("tenant__slug", flat=True))
    return page(request, "panel/account/remove_factor.html", demanded_by=slugs)


def qr_code(url: str) -> SafeString:
    """A QR code as inline SVG: dark on light whatever the page's colours, without any style."""
    code = segno.make(url, error="m", micro=False)
    drawn = code.svg_inline(
        border=4, scale=4, svgclass="qr", lineclass=None, dark="#000", light="#fff"
    )
    return mark_safe(drawn.replace("<svg ", '<svg role="img" aria-label="QR code" ', 1))  # noqa: S308


def _show(request: HttpRequest, codes: tuple[str, ...]) -> HttpResponse:
    keep_for_page(request, recovery_codes=" ".join(codes))
    return see(CODES)


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))
