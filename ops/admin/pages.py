"""Pages of no model: find, open access to a tenant, mail to an address, the story of a message."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from delivery.result_words import result_lines
from delivery.rule_words import Asked, asked_rules
from delivery.selectors import more_like, stories_for, story_in_tenant
from delivery.story import Story
from delivery.story_parts import OCTETS_OF_QUEUE, Step, first_of, part_of
from delivery.story_text import (
    TONES,
    more_refusals_text,
    paragraphs,
    size_text,
    waiting_text,
)
from mail.errors import BadTraceId
from mail.events import EventKind
from mail.policy.message import MESSAGE_RULES
from mail.trace import format_trace_id, parse_trace_id, printable
from ops.admin import found, search
from ops.admin.base import REFUSALS, tenant_of
from ops.admin.forms import AccessForm
from ops.grants import active_grants, end_grants, open_grant
from ops.middleware import SHARED_PREFIX, support_of
from tenants.models import Tenant

STORIES = 15


@dataclass(frozen=True, slots=True)
class Line:
    """One message of the list of mail to an address."""

    trace_id: str
    at: datetime | None
    author: str
    result: str
    tone: str
    last: str
    """What was said last: our reply, the next hop's, or why it waits."""


def find(request: HttpRequest) -> HttpResponse:
    """From what a customer says to the tenant it is about."""
    wanted = search.read(request.GET.get("q", ""))
    context: dict[str, Any]
    if wanted.trace_id is not None:
        slug = found.tenant_of_trace(wanted.trace_id)
        if slug:
            printed = format_trace_id(wanted.trace_id)
            return HttpResponseRedirect(f"{SHARED_PREFIX}t/{slug}/mail/{printed}/")
        context = {"wanted": wanted, "nothing": slug is None, "own": slug == ""}
        return _page(request, "admin/find.html", "Find", context)
    staff_id = support_of(request).staff.pk
    opened = frozenset(grant.tenant.slug for grant in active_grants(staff_id=staff_id))
    context = {"wanted": wanted, "found": found.Finder(wanted, opened).find()}
    context["refused"] = found.refusals_here(wanted.address) if wanted.address else 0
    return _page(request, "admin/find.html", "Find", context)


def open_access(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for the reason, then open the tenant."""
    tenant = _tenant(slug)
    back = _inside(request, slug, request.POST.get("next") or request.GET.get("next", ""))
    form = AccessForm(request.POST if request.method == "POST" else None, initial={"next": back})
    if request.method == "POST" and form.is_valid():
        try:
            grant = open_grant(
                tenant=tenant,
                staff=support_of(request).staff,
                reason=form.cleaned_data["reason"],
                lasts=timedelta(minutes=form.cleaned_data["minutes"]),
                actor=support_of(request).actor,
            )
        except REFUSALS as refusal:
            form.add_error("reason", str(refusal))
        else:
            until = f"{grant.ends_at.astimezone(UTC):%H:%M} UTC"
            messages.success(request, f"{slug} is open to you until {until}.")
            return _see_other(back)
    return _page(request, "admin/access.html", f"Open {slug}", {"form": form, "tenant": tenant})


def end_access(request: HttpRequest, slug: str) -> HttpResponse:
    """Give the access back before its time."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    support = support_of(request)
    end_grants(tenant=_tenant(slug), staff=support.staff, actor=support.actor)
    messages.success(request, f"{slug} is closed to you.")
    return _see_other(reverse("admin:index", current_app="admin"))


def mail(request: HttpRequest) -> HttpResponse:
    """Mail to an address of this tenant, newest first, each with how it ended."""
    wanted = search.read(request.GET.get("q", ""))
    if wanted.trace_id is not None:
        printed = format_trace_id(wanted.trace_id)
        return HttpResponseRedirect(reverse("admin:story", args=[printed], current_app="opened"))
    if not wanted.address:
        log = reverse("admin:messagelog_loggedmessage_changelist", current_app="opened")
        return HttpResponseRedirect(
            f"{log}?{urlencode({'q': wanted.text})}" if wanted.text else log
        )
    told = stories_for(wanted.address, limit=STORIES)
    # The same address may be known to a tenant who claims the domain too: his mail is not shown.
    ours = [story for story in told.stories if story.tenant_id == tenant_of(request).pk]
    context = {
        "wanted": wanted,
        "lines": [_line(story) for story in ours],
        "refusals": [more_refusals_text(one) for one in told.more_refusals],
    }
    return _page(request, "admin/mail.html", f"Mail to {wanted.address}", context)


def story(request: HttpRequest, trace_id: str) -> HttpResponse:
    """What happened to one message of this tenant."""
    try:
        told = story_in_tenant(parse_trace_id(trace_id), tenant_of(request).pk)
    except BadTraceId:
        raise Http404 from None
    if told is None:
        raise Http404
    in_queue = [Step(None, *_waiting(row.state, waiting_text(row))) for row in told.queue]
    waiting, more_waiting = first_of(in_queue, OCTETS_OF_QUEUE)
    context = {
        "line": _line(told),
        "recipients": _recipients(told),
        "size": size_text(told.accepted.size_octets) if told.accepted else "",
        "part": part_of(_steps(told), request.GET.get("part")),
        "left_out": told.left_out,
        "waiting": waiting,
        "more_waiting": more_waiting,
        "results": result_lines(told),
        "rules": _rules(told),
        "more": _more(told, tenant_of(request).pk),
    }
    return _page(request, "admin/story.html", _recipients(told) or "A message", context)


def _rules(told: Story) -> list[Asked]:
    first = told.accepted or (told.events[0].event if told.events else None)
    trail = first.trail if first else ()
    return list(asked_rules(trail, first_of_message=MESSAGE_RULES[0].__name__))


def _more(told: Story, tenant_id: int) -> int:
    """Refusals of the same client, domain and hour that were only counted."""
    refused = next((one for one in told.events if one.event.kind is EventKind.REFUSED), None)
    return more_like(refused, tenant_id) if refused else 0


def _waiting(state: str, text: str) -> tuple[str, str, tuple[str, ...]]:
    return state, TONES.get(state, ""), tuple(text.split("\n"))


def _steps(told: Story) -> list[Step]:
    return [
        Step(one.at.astimezone(UTC), word, TONES.get(word, ""), tuple(text.split("\n")))
        for one in told.events
        for word, text in paragraphs(one.event)
    ]


def _line(told: Story) -> Line:
    first = told.accepted or (told.events[0].event if told.events else None)
    author = (first.author or first.reverse_path) if first else ""
    return Line(
        trace_id=format_trace_id(told.trace_id),
        at=told.started_at,
        author=printable(author, 120) or "-",
        result=told.result,
        tone=TONES.get(told.result, "warn"),
        last=_last_words(told),
    )


def _last_words(told: Story) -> str:
    for row in told.queue:
        if row.last_reply:
            return printable(row.last_reply, 300)
    for one in reversed(told.events):
        if one.event.reply or one.event.reason:
            return printable(one.event.reply or one.event.reason, 300)
    return "-"


def _recipients(told: Story) -> str:
    first = told.accepted or (told.events[0].event if told.events else None)
    if first is None:
        return ""
    names = list(dict.fromkeys(pair[0] for pair in first.recipients)) or [first.recipient]
    return printable(", ".join(names[:3]) + (" …" if len(names) > 3 else ""), 400)


def _tenant(slug: str) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise Http404
    return tenant


def _inside(request: HttpRequest, slug: str, wanted: str) -> str:
    """The page to go back to: one of this tenant's, and on this host."""
    start = f"{SHARED_PREFIX}t/{slug}/"
    local = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if local and wanted.startswith(start) else start


def _see_other(address: str) -> HttpResponse:
    response = HttpResponseRedirect(address)
    response.status_code = 303
    return response


def _page(request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
    from ops.admin.sites import shared_site, tenant_site

    site = tenant_site if support_of(request).tenant else shared_site
    request.current_app = site.name
    return render(request, template, site.each_context(request) | {"title": title} | context)
