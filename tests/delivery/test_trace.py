"""`manage.py trace` tells the whole story, and strangers cannot write in it."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from delivery.models import DeliveryEvent
from delivery.refusals import record
from delivery.selectors import stories_for, story_of
from mail.facts import LogLevel
from mail.trace import format_trace_id
from tests.delivery.log_words import (
    RECIPIENT,
    a_trace_id,
    accepted,
    attempted,
    refused,
    the_log_writer_runs,
)
from tests.delivery.test_refusals import refusals

pytestmark = pytest.mark.django_db


def trace(*arguments: str) -> str:
    out = StringIO()
    call_command("trace", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_story_tells_of_client_rules_signatures_and_replies(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
    attempted(ada.tenant, trace_id, "friend@far.example", "deferred", "451 4.7.1 Come back",
              next_attempt_at="2026-11-22T06:05:00+00:00", queued_seconds=0.25)  # fmt: skip
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered", "250 2.0.0 Ok: queued",
              signed_by=("rsa-sha256 fwd.mxax.test s1",))  # fmt: skip

    told = trace(format_trace_id(trace_id))

    in_order = (
        "tenant ada · forward · 1.2 kB · delivered", "192.0.2.7", "client.author.example",
        "TLSv1.3", "unknown_domain, accept", f"<{RECIPIENT}> → <friend@far.example>",
        "0.250 s in the queue", "451 4.7.1 Come back", "2026-11-22 06:05:00 UTC",
        "rsa-sha256 fwd.mxax.test s1", "250 2.0.0 Ok: queued",
    )  # fmt: skip
    unfolded = " ".join(told.split())
    places = [unfolded.find(text) for text in in_order]
    assert -1 not in places, in_order[places.index(-1)]
    assert places == sorted(places)
    assert max(map(len, told.splitlines())) <= 80


def test_an_event_seen_in_outbox_and_log_is_told_once(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    moving = DeliveryEvent.objects.get()
    the_log_writer_runs()
    moving.save(force_insert=True)
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered")

    kinds = [one.event.kind.value for one in story_of(trace_id).events]

    assert kinds == ["accepted", "attempted"]


def test_a_trace_id_is_found_in_the_log_of_whichever_tenant_has_it(ada, mallory):
    trace_id = a_trace_id()
    accepted(mallory.tenant, trace_id)
    the_log_writer_runs()

    assert story_of(trace_id).tenant == "mallory"


def test_escape_sequences_of_strangers_come_out_escaped(ada):
    trace_id = a_trace_id()
    evil = "x\x1b[2J\r\nFAKE: delivered\u202e\x9b1m"
    accepted(ada.tenant, trace_id, helo=evil, subject=evil, reverse_path=f"{evil}@e.example",
             level=LogLevel.HEADERS)  # fmt: skip
    attempted(ada.tenant, trace_id, "friend@far.example", "failed", f"550 {evil}")

    told = trace(format_trace_id(trace_id))
    as_json = trace(format_trace_id(trace_id), "--json")

    assert "\\x1b[2J\\r\\nFAKE" in told
    for forbidden in ("\x1b", "\r", "\u202e", "\x9b", "\nFAKE"):
        assert forbidden not in told
        assert forbidden not in as_json
    assert json.loads(as_json)[0]["helo"] == evil


def test_refusals_are_found_by_recipient_and_the_rest_is_counted(ada):
    ada.has_domain("ada.example")
    record(refusals(25, ada.tenant))
    the_log_writer_runs()

    told = trace("--recipient", "Nobody3@ADA.example".replace("N", "n"))

    assert "550 5.1.1 No such mailbox here" in told
    assert "and 5 more refusals to 192.0.2.7 for ada.example" in " ".join(told.split())


def test_a_refusal_for_a_foreign_domain_is_found_by_recipient(db):
    record(refusals(1, domain="foreign.example"))
    the_log_writer_runs()

    assert "No such mailbox" in trace("--recipient", "nobody0@foreign.example")


def test_messages_are_found_by_recipient_before_and_after_they_are_logged(ada):
    ada.has_domain("ada.example")
    first, second = a_trace_id(), a_trace_id()
    accepted(ada.tenant, first)
    the_log_writer_runs()
    attempted(ada.tenant, second, "friend@far.example", "delivered")

    found = [story.trace_id for story in stories_for(RECIPIENT).stories]

    assert found == [second, first]


def test_hashed_addresses_are_found_by_who_knows_the_address(ada):
    ada.has_domain("ada.example")
    accepted(ada.tenant, a_trace_id(), level=LogLevel.HASHED)
    the_log_writer_runs()

    assert len(stories_for(RECIPIENT).stories) == 1


def test_json_is_the_events_in_order(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered")

    events = json.loads(trace(format_trace_id(trace_id), "--json"))

    assert [event["kind"] for event in events] == ["accepted", "attempted"]
    assert {event["trace_id"] for event in events} == {format_trace_id(trace_id)}
    assert events[1]["outcome"] == "delivered"


def test_an_unknown_trace_id_ends_with_one_line(ada):
    refused(ada.tenant, a_trace_id(), "nobody@ada.example")

    with pytest.raises(CommandError) as error:
        trace(format_trace_id(a_trace_id()))

    assert "Nothing is known of" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_trace_id_is_told_so(db):
    with pytest.raises(CommandError, match="is not a trace id"):
        trace("\x1b[31mred")
