"""Refusals: the first 20 of a client, domain and hour exactly, then counted."""

import pytest

from delivery.models import DeliveryEvent, RefusalTally
from delivery.refusals import RefusedAt, add_usage, record
from mail.events import NO_TRACE, Event, EventKind
from mail.facts import LogLevel
from tests.delivery.log_words import a_trace_id

pytestmark = pytest.mark.django_db


def refusals(count: int, tenant=None, *, domain="ada.example", client_ip="192.0.2.7", **more):
    return [
        RefusedAt(
            Event(
                EventKind.REFUSED,
                a_trace_id(),
                tenant.pk if tenant else None,
                recipient=f"nobody{number}@{domain}",
                client_ip=client_ip,
                reply="550 5.1.1 No such mailbox here",
            ),
            domain,
            **more,
        )
        for number in range(count)
    ]


def test_the_first_twenty_are_kept_and_the_rest_is_counted(ada):
    record(refusals(15, ada.tenant))
    record(refusals(15, ada.tenant))

    assert DeliveryEvent.objects.filter(kind="refused").count() == 20
    assert RefusalTally.objects.get().count == 30


def test_each_client_and_domain_has_twenty_of_its_own(ada):
    record(
        [
            *refusals(25, ada.tenant),
            *refusals(25, ada.tenant, client_ip="2001:db8::7"),
            *refusals(25, ada.tenant, domain="other.example"),
        ]
    )

    assert DeliveryEvent.objects.count() == 60


def test_domains_a_stranger_invents_share_one_tally(db):
    for number in range(30):
        record(refusals(1, domain=f"invented{number}.example"))

    assert RefusalTally.objects.get().count == 30
    assert DeliveryEvent.objects.count() == 20


def test_a_tenant_who_wants_counts_only_gets_counts_only(ada):
    record(refusals(3, ada.tenant, log_level=LogLevel.COUNTS))

    assert RefusalTally.objects.get().count == 3
    events = DeliveryEvent.objects.values_list("kind", "message_id", "data")
    assert set(events.values_list("kind", "message_id")) == {("counted", NO_TRACE)}
    assert "@" not in str(list(events))


def test_a_tenant_who_wants_nothing_written_has_nothing_written(ada):
    record(refusals(3, ada.tenant, log_level=LogLevel.NOTHING))

    assert not RefusalTally.objects.exists()
    assert not DeliveryEvent.objects.exists()


def test_usage_adds_up_over_calls_and_tells_todays_total(db):
    first = add_usage({7: 3, 9: 1})
    second = add_usage({7: 2})

    assert first == {7: 3, 9: 1}
    assert second == {7: 5}
    assert add_usage({}) == {}


@pytest.mark.parametrize("level", [LogLevel.COUNTS, LogLevel.HASHED])
def test_the_client_is_hashed_where_addresses_are(ada, level):
    record([*refusals(25, ada.tenant, log_level=level), *refusals(1, ada.tenant, client_ip="")])

    assert {row.client_ip[:1] for row in RefusalTally.objects.all()} == {"~", ""}
    assert "192.0.2.7" not in str([row.data for row in DeliveryEvent.objects.all()])
