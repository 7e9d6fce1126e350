"""What can be done with a message that is not finished, and with the content of one that failed."""

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods, require_POST

from delivery import tenant_queue
from delivery.kept_content import FailedContent, failed_content
from delivery.result_words import result_lines
from mail.trace import format_trace_id
from panel.access import Role, needs, place_of
from panel.messages.message import story_here
from panel.pages import done, not_done, page
from tenants.errors import NotAllowed

NOTHING = "Nothing of this message can be {done} now: look at where it stands."


@needs(Role.EDITOR)
@require_POST
def retry(request: HttpRequest, trace_id: str) -> HttpResponse:
    """Try now what waits."""
    return _act(request, trace_id, tenant_queue.retry, "tried again")


@needs(Role.EDITOR)
@require_POST
def hold(request: HttpRequest, trace_id: str) -> HttpResponse:
    """Keep what waits until it is released."""
    return _act(request, trace_id, tenant_queue.hold, "held")


@needs(Role.EDITOR)
@require_POST
def release(request: HttpRequest, trace_id: str) -> HttpResponse:
    """Send what was held."""
    return _act(request, trace_id, tenant_queue.release, "released")


@needs(Role.EDITOR)
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, trace_id: str) -> HttpResponse:
    """Ask first: nothing brings the mail back."""
    if request.method == "POST":
        return _act(request, trace_id, tenant_queue.cancel, "cancelled")
    place = place_of(request)
    story = story_here(place, trace_id)
    if not any(row.state != "in flight" for row in story.queue):
        raise Http404
    return page(
        request,
        "panel/messages/cancel.html",
        trace_id=format_trace_id(story.trace_id),
        results=result_lines(story),
        waiting=len(story.queue),
    )


@needs(Role.ADMIN)
@require_POST
def download(request: HttpRequest, trace_id: str) -> HttpResponseBase:
    """The message as a file; who took it is written into the audit."""
    place = place_of(request)
    story = story_here(place, trace_id)
    content = failed_content(story.trace_id, place.tenant.pk)
    if content is None or not content.may_be_read:
        raise Http404
    tenant_queue.note_download(
        tenant_id=place.tenant.pk, trace_id=story.trace_id, actor=place.actor
    )
    return _file(content)


def _file(content: FailedContent) -> StreamingHttpResponse:
    """Never shown by the browser: what strangers wrote is data, not a page."""
    response = StreamingHttpResponse(content.octets(), content_type="message/rfc822")
    name = f"{format_trace_id(content.trace_id)}.eml"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _act(request: HttpRequest, trace_id: str, act: Callable[..., int], verb: str) -> HttpResponse:
    place = place_of(request)
    story = story_here(place, trace_id)
    url = place.url("message", format_trace_id(story.trace_id))
    try:
        count = act(tenant_id=place.tenant.pk, trace_id=story.trace_id, actor=place.actor)
    except NotAllowed as error:
        return not_done(request, str(error), url)
    if not count:
        return not_done(request, NOTHING.format(done=verb), url)
    what = "1 delivery is" if count == 1 else f"{count} deliveries are"
    if verb == "cancelled" and story_is_gone(request, trace_id):
        url = place.url("messages")
    return done(request, f"{what} {verb}.", url)


def story_is_gone(request: HttpRequest, trace_id: str) -> bool:
    """Where the policy logs nothing, nothing is left of a message that was cancelled."""
    try:
        story_here(place_of(request), trace_id)
    except Http404:
        return True
    return False
