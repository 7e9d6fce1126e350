"""Pages that need no one signed in: health, the page of a local install, and its traces."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from delivery.health import check_all
from delivery.selectors import latest_stories, story_in_tenant
from delivery.story import Story
from delivery.story_text import TONES, paragraphs, size_text, waiting_text
from mail.errors import BadTraceId
from mail.trace import format_trace_id, parse_trace_id, printable
from tenants.clients import asked_here
from tenants.context import public_schema
from tenants.models import Tenant

DEMO_SLUG = "demo"
LAST_TRACES = 10


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the list of traces."""

    trace_id: str
    at: datetime | None
    recipient: str
    subject: str
    result: str
    tone: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, as a page shows it."""

    at: datetime | None
    word: str
    tone: str
    lines: tuple[str, ...]

    @property
    def clock(self) -> str:
        """The time of day with milliseconds."""
        return f"{self.at:%H:%M:%S.%f}"[:12] if self.at else ""


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """This process is alive; asks nobody."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether mail is taken and sent; 503 while it is not. On this machine also each check."""
    checks = check_all()
    if not asked_here(request):
        ready = all(check.ok for check in checks)
        said = "ready" if ready else "not ready"
        return JsonResponse({"status": said}, status=200 if ready else 503)
    bad = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    return JsonResponse(
        {
            "status": f"not ready: {'; '.join(bad)}" if bad else "ready",
            "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks},
        },
        status=503 if bad else 200,
    )


@require_safe
@never_cache
def start(request: HttpRequest) -> HttpResponse:
    """State and last traces of a local install; elsewhere there is no such page."""
    if not settings.ENV.embedded:
        raise Http404
    checks = check_all()
    try:
        demo = _demo_tenant()
        traces = [_summary(story) for story in latest_stories(demo, LAST_TRACES)] if demo else []
    except DatabaseError:
        demo, traces = None, []
    listen = settings.ENV.mx_listen.reachable()
    return render(
        request,
        "panel/start.html",
        {
            "checks": checks,
            "ready": all(check.ok for check in checks),
            "traces": traces,
            "has_demo": demo is not None,
            "swaks": f"swaks --server {listen} --from you@author.example --to hello@demo.example",
            "caught": settings.ENV.catches_mail,
            "mailbox": settings.ENV.data_dir / "mail" / "new",
        },
    )


@require_safe
@never_cache
def trace(request: HttpRequest, trace_id: str) -> HttpResponse:
    """The story of one message of the demo tenant; only a local install has it."""
    demo = _demo_tenant() if settings.ENV.embedded else None
    try:
        story = story_in_tenant(parse_trace_id(trace_id), demo) if demo else None
    except BadTraceId:
        story = None
    if story is None:
        raise Http404
    return render(
        request,
        "panel/trace.html",
        {
            "summary": _summary(story),
            "steps": _steps(story),
            "waiting": [_waiting_step(row.state, waiting_text(row)) for row in story.queue],
            "size": size_text(story.accepted.size_octets) if story.accepted else "",
        },
    )


def _demo_tenant() -> int | None:
    with public_schema():
        demo = Tenant.objects.filter(slug=DEMO_SLUG).first()
        return None if demo is None else int(demo.pk)


def _summary(story: Story) -> Summary:
    first = story.accepted or (story.events[0].event if story.events else None)
    recipients = list(dict.fromkeys(pair[0] for pair in first.recipients)) if first else []
    recipient = recipients[0] if recipients else (first.recipient if first else "")
    more = f" and {len(recipients) - 1} more" if len(recipients) > 1 else ""
    return Summary(
        trace_id=format_trace_id(story.trace_id),
        at=story.started_at,
        recipient=printable(recipient, 320) + more,
        subject=printable(first.subject, 120) if first else "",
        result=story.result,
        tone=TONES.get(story.result, "warn"),
    )


def _steps(story: Story) -> list[Step]:
    return [
        Step(one.at.astimezone(UTC), word, TONES.get(word, ""), tuple(text.split("\n")))
        for one in story.events
        for word, text in paragraphs(one.event)
    ]


def _waiting_step(state: str, text: str) -> Step:
    return Step(None, state, TONES.get(state, ""), tuple(text.split("\n")))
