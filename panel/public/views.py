"""Pages for everybody; none asks the database."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from panel.pages import page
from panel.public.privacy import kept_of_mail, kept_of_people
from panel.public.providers import BY_SLUG, PROVIDERS


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """What this is, in one page."""
    return page(
        request,
        "panel/public/landing.html",
        here="landing",
        signs_up=settings.ENV.sign_up,
        embedded=settings.ENV.embedded,
    )


@require_safe
def how_it_works(request: HttpRequest) -> HttpResponse:
    """The way of a message, and what this service does not do."""
    return page(
        request,
        "panel/public/how_it_works.html",
        here="how-it-works",
        service=settings.ENV.service_domain,
        forward=settings.ENV.forward_domain,
        scans=_scans(),
    )


@require_safe
def dns_help(request: HttpRequest) -> HttpResponse:
    """Which records a domain needs, and a page for each provider."""
    return page(request, "panel/public/dns_help.html", here="dns-help", providers=PROVIDERS)


@require_safe
def dns_provider(request: HttpRequest, provider: str) -> HttpResponse:
    """How one provider wants records typed."""
    if provider not in BY_SLUG:
        raise Http404
    one = BY_SLUG[provider]
    return page(request, "panel/public/dns_provider.html", here="dns-help", provider=one)


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    """What is stored, why, and until when, as this installation is set up."""
    return page(
        request,
        "panel/public/privacy.html",
        here="privacy",
        mail=kept_of_mail(),
        people=kept_of_people(),
        operator=settings.ENV.operator_email,
        scans=_scans(),
        dns_lists=[
            one.zone for one in (*settings.ENV.dns_block_lists, *settings.ENV.dns_allow_lists)
        ],
    )


def _scans() -> bool:
    """Whether this installation has a scanner."""
    return bool(settings.ENV.rspamd or settings.ENV.spamd or settings.ENV.clamd)
