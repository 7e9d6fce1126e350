"""The list of messages: search, pages, and what strangers wrote."""

import pytest

from delivery.models import RefusalTally
from mail.facts import LogLevel
from mail.trace import format_trace_id
from routing.models import LogPolicy
from tenants.clock import database_now
from tenants.context import tenant_schema
from tests.delivery.log_words import a_trace_id, accepted, attempted, refused, the_log_writer_runs
from tests.panel.markup import faults

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]
HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x00"


def the_list(person, **asked) -> str:
    the_log_writer_runs()
    response = person.client().get(person.url("messages"), asked)
    assert response.status_code == 200
    text = response.content.decode()
    assert faults(text) == []
    return text


def test_messages_and_refusals_are_listed_newest_first(ada):
    first, second = a_trace_id(), a_trace_id()
    accepted(ada.tenant, first)
    attempted(ada.tenant, first, "friend@far.example", "failed", "550 5.1.1 Unknown")
    refused(ada.tenant, second, "nobody@ada.example")

    text = the_list(ada)

    assert text.index(format_trace_id(second)) < text.index(format_trace_id(first))
    assert "550 5.1.1 Unknown" in text
    assert "nobody@ada.example" in text


def test_a_search_finds_an_address_and_keeps_what_was_typed(ada):
    wanted, other = a_trace_id(), a_trace_id()
    accepted(ada.tenant, wanted, recipients=(("sales@ada.example", "f@far.example"),))
    accepted(ada.tenant, other)

    text = the_list(ada, q="sales@ada.example", side="to")

    assert format_trace_id(wanted) in text
    assert format_trace_id(other) not in text
    assert 'value="sales@ada.example"' in text


def test_nothing_found_offers_what_begins_alike(ada):
    accepted(ada.tenant, a_trace_id(), recipients=(("sales@ada.example", "f@far.example"),))

    text = the_list(ada, q="sales@ada.ex.am")

    assert "Nothing was found" in text
    assert "?q=sales%40ada.ex.am%2A" in text


def test_an_empty_log_says_what_comes_next(ada):
    assert "No messages yet" in the_list(ada)


def test_wrong_values_are_told_at_their_fields(ada):
    client = ada.client()

    wrong = client.get(ada.url("messages"), {"state": "eaten", "since": "soon"})
    turned = client.get(ada.url("messages"), {"since": "2026-11-02", "until": "2026-11-01"})

    assert (wrong.status_code, turned.status_code) == (422, 422)
    assert 'value="soon"' in wrong.content.decode()
    assert "This day lies before the first one." in turned.content.decode()


def test_fifty_a_page_and_links_both_ways(ada):
    for _ in range(51):
        refused(ada.tenant, a_trace_id(), "nobody@ada.example")
    the_log_writer_runs()
    client = ada.client()

    first = client.get(ada.url("messages"), {"state": "refused"})
    after = first.context["slice"].after
    second = client.get(ada.url("messages"), {"state": "refused", "after": after})

    assert len(first.context["lines"]), len(second.context["lines"]) == (50, 1)
    assert f"state=refused&amp;after={after}" in first.content.decode()
    assert second.context["slice"].before
    assert len(first.content) < 60_000


def test_refusals_beyond_the_first_twenty_are_a_number(ada, mallory):
    hour = database_now().replace(minute=0, second=0, microsecond=0)
    for tenant, domain in ((ada.tenant, "ada.example"), (mallory.tenant, "mallory.example")):
        RefusalTally.objects.create(
            hour=hour, client_ip="192.0.2.7", domain=domain, tenant_id=tenant.pk, count=251
        )

    text = the_list(ada)

    assert "231" in text
    assert "mallory.example" not in text
    assert "231" not in the_list(ada, q="other.example")


def test_what_strangers_wrote_is_text(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id, reverse_path=HOSTILE, author=HOSTILE)
    attempted(ada.tenant, trace_id, "friend@far.example", "failed", HOSTILE)

    text = the_list(ada)

    assert "<script" not in text
    assert "\u202e" not in text
    assert "\x00" not in text


def test_hashed_addresses_are_explained_and_found(ada):
    with tenant_schema(ada.tenant.pk):
        LogPolicy.objects.update(level=LogLevel.HASHED)
    wanted = a_trace_id()
    accepted(ada.tenant, wanted, level=LogLevel.HASHED)

    text = the_list(ada, q="hi@ada.example")

    assert "logged as hashes" in text
    assert format_trace_id(wanted) in text


def test_a_viewer_may_look(ben, ada):
    assert "No messages yet" in the_list(ben)


def test_mallory_sees_404(ada, mallory):
    assert mallory.client().get(ada.url("messages")).status_code == 404


def test_the_page_asks_the_database_twelve_times_at_most(ada, django_assert_max_num_queries):
    for _ in range(30):
        accepted(ada.tenant, a_trace_id())
    the_log_writer_runs()
    client = ada.client()

    with django_assert_max_num_queries(12):
        client.get(ada.url("messages"), {"q": "hi"})
