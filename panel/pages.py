"""How a view answers: a page, or a redirect that names what was done."""

from typing import Any

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render

from panel.kept import kept_values


def typed(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: what was sent, or what was typed before a session was lost."""
    return request.POST if request.method == "POST" else kept_values(request)


def submitted(request: HttpRequest, form: BaseForm) -> bool:
    """Whether the form was sent and every value is right."""
    return request.method == "POST" and form.is_valid()


def page(
    request: HttpRequest, template: str, /, *, status: int | None = None, **context: Any
) -> HttpResponse:
    """The page; 422 (RFC 9110, 15.5.21) where `form` was sent with a wrong value."""
    form = context.get("form")
    if status is None and request.method == "POST" and form is not None and form.errors:
        status = 422
    return render(request, template, context, status=status)


def done(request: HttpRequest, text: str, url: str) -> HttpResponseRedirect:
    """To a page that says what was done; a reload of it does nothing twice (303)."""
    messages.success(request, text)
    return see(url)


def not_done(request: HttpRequest, text: str, url: str) -> HttpResponseRedirect:
    """To a page that says why nothing was done."""
    messages.error(request, text)
    return see(url)


def see(url: str) -> HttpResponseRedirect:
    """The answer to a POST is read by GET (RFC 9110, 15.4.4)."""
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response
