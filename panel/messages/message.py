"""The page of one message: its story from connection to the last reply, and what can be done."""

from dataclasses import dataclass
from datetime import UTC
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from delivery.kept_content import FailedContent, failed_content
from delivery.queue_services import OF_THE_TENANT
from delivery.result_words import result_lines
from delivery.rule_words import Asked, asked_rules
from delivery.selectors import more_like, story_in_tenant
from delivery.story import Story
from delivery.story_parts import OCTETS_OF_QUEUE, Step, first_of, part_of
from delivery.story_text import TONES, paragraphs, size_text, waiting_text
from delivery.trust_words import decided_text, found_lines
from mail.errors import BadTraceId
from mail.events import Event, EventKind
from mail.policy.message import MESSAGE_RULES
from mail.trace import format_trace_id, parse_trace_id, printable
from panel.access import Place, Role, needs, place_of
from panel.pages import page
from panel.sessions import looks_by_itself

SOON_SECONDS: Final = 5
LATER_SECONDS: Final = 60
LONGEST_FACT: Final = 320
_WITH_A_PLACE_BELOW: Final = frozenset({"judged", "checked"})
_FIRST_OF_MESSAGE: Final = MESSAGE_RULES[0].__name__


@dataclass(frozen=True, slots=True)
class Actions:
    """What can be done with a message as it stands."""

    retry: bool
    hold: bool
    release: bool
    cancel: bool
    download: bool

    @classmethod
    def of(cls, story: Story, content: FailedContent | None) -> "Actions":
        states = {row.state for row in story.queue}
        waits = bool(states & {"queued", "deferred"})
        return cls(
            retry=waits or content is not None,
            hold=waits,
            release=any(row.state == "held" and row.hold in OF_THE_TENANT for row in story.queue),
            cancel=bool(states - {"in flight"}),
            download=content is not None and content.may_be_read,
        )


def story_here(place: Place, trace_id: str) -> Story:
    """The story of a printed trace id, of this tenant; 404 for any other."""
    try:
        tenant = place.tenant
        story = story_in_tenant(parse_trace_id(trace_id), tenant.pk, slug=tenant.slug)
    except BadTraceId:
        story = None
    if story is None:
        raise Http404
    return story


@needs(Role.VIEWER)
@require_safe
def message(request: HttpRequest, trace_id: str) -> HttpResponse:
    """What happened to a message, in order, and where it stands."""
    place = place_of(request)
    story = story_here(place, trace_id)
    result = _result(story)
    in_queue = [_waiting(row.state, waiting_text(row)) for row in story.queue]
    waiting, more_waiting = first_of(in_queue, OCTETS_OF_QUEUE)
    first = story.accepted or (story.events[0].event if story.events else None)
    return page(
        request,
        "panel/messages/message.html",
        story=story,
        trace_id=format_trace_id(story.trace_id),
        result=result,
        tone=TONES.get(result, "warn"),
        results=result_lines(story),
        facts=_facts(first),
        subject=printable(first.subject, LONGEST_FACT) if first else "",
        part=part_of(_steps(story), request.GET.get("part")),
        left_out=story.left_out,
        waiting=waiting,
        more_waiting=more_waiting,
        found=found_lines(first.found) if first else [],
        decided=decided_text(first.found) if first else "",
        rules=_rules(first),
        more=_more(place, story),
        refresh=_refresh_seconds(story),
        is_watched=looks_by_itself(request),
        can=Actions.of(story, _content(place, story)),
    )


def _result(story: Story) -> str:
    """Where it stands; of mail that is not logged the queue still tells."""
    waiting = sorted({row.state for row in story.queue})
    return ", ".join(waiting) if waiting and not story.events else story.result


def _content(place: Place, story: Story) -> FailedContent | None:
    if not any(row.state == "failed" for row in story.queue):
        return None
    return failed_content(story.trace_id, place.tenant.pk)


def _refresh_seconds(story: Story) -> int:
    """How soon the page should look again; 0 where nothing is under way."""
    states = {row.state for row in story.queue}
    if states & {"queued", "in flight"}:
        return SOON_SECONDS
    return LATER_SECONDS if "deferred" in states else 0


def _facts(event: Event | None) -> list[tuple[str, str]]:
    """Label and text of what is known of the message as it came."""
    if event is None:
        return []
    facts = (
        ("From (reverse-path)", event.reverse_path or ("<>" if event.client_ip else "")),
        ("Author", event.author),
        ("To", ", ".join(dict.fromkeys(to for to, _ in event.recipients)) or event.recipient),
        ("Going out from", event.outgoing_path),
        ("Received from", event.client_ip),
        ("HELO", event.helo),
        ("Protocol", event.protocol),
        ("TLS", event.tls or ("none" if event.client_ip else "")),
        ("Size", size_text(event.size_octets) if event.size_octets else ""),
    )
    return [(label, printable(text, LONGEST_FACT)) for label, text in facts if text]


def _steps(story: Story) -> list[Step]:
    """What was found and the rules asked have a place of their own below."""
    return [
        Step(one.at.astimezone(UTC), word, TONES.get(word, ""), _without_rules(text))
        for one in story.events
        for word, text in paragraphs(one.event)
        if word not in _WITH_A_PLACE_BELOW
    ]


def _without_rules(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.split("\n") if not line.startswith("rules asked: "))


def _waiting(state: str, text: str) -> Step:
    return Step(None, state, TONES.get(state, ""), tuple(text.split("\n")))


def _rules(event: Event | None) -> list[Asked]:
    trail = event.trail if event else ()
    return list(asked_rules(trail, first_of_message=_FIRST_OF_MESSAGE))


def _more(place: Place, story: Story) -> int:
    """Refusals of the same client, domain and hour that were only counted."""
    refused = next((one for one in story.events if one.event.kind is EventKind.REFUSED), None)
    return more_like(refused, place.tenant.pk) if refused else 0
