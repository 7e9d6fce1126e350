"""What each route's mail came to is counted while the log is written, and never twice."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from delivery.failing_routes import bind_route_guard, look_after
from delivery.logwriter import LogWriter
from delivery.messagelog.models import LoggedEvent, LoggedMessage, RouteDay, RouteFailure
from delivery.models import DeliveryEvent
from delivery.outbox import insert_events
from delivery.route_counts import RouteCounts, counts_of, days_of
from mail.events import NO_TRACE, Event, EventKind
from mail.facts import LogLevel
from mail.retry import is_about_message
from mail.trace import new_trace_id
from routing.models import Route
from routing.services.failing import FailingRoutes
from tenants.context import tenant_schema

pytestmark = pytest.mark.django_db

ROUTE = 7


def event(person, kind=EventKind.ATTEMPTED, outcome="", routes=(ROUTE,), **more):
    return Event(
        kind=kind,
        trace_id=new_trace_id(1_700_000_000_000, b"0123456789"),
        tenant_id=person.tenant.pk,
        direction=more.pop("direction", "forward"),
        recipient="hi@example.org",
        destination="friend@away.example",
        outcome=outcome,
        routes=routes,
        **more,
    )


def happened(*events, level=LogLevel.METADATA):
    insert_events((one, level) for one in events)
    LogWriter().move_once()


def counts(person, route_id=ROUTE):
    with tenant_schema(person.tenant.pk):
        found = counts_of([route_id]).get(route_id, RouteCounts())
    return found.accepted, found.delivered, found.deferred, found.failed, found.refused


def some_of_everything(person):
    return (
        event(person, EventKind.ACCEPTED, routes=(ROUTE, 8)),
        event(person, outcome="deferred"),
        event(person, outcome="delivered"),
        event(person, outcome="delivered", routes=(8,)),
        event(person, outcome="failed"),
        event(person, EventKind.REFUSED),
        event(person, EventKind.RETURNED, outcome="failed"),
        event(person, EventKind.NOTICED, outcome="failed"),
    )


@pytest.mark.parametrize("level", [LogLevel.COUNTS, LogLevel.HASHED, LogLevel.CONTENT])
def test_every_level_that_may_be_counted_counts_the_same(ada, level):
    happened(*some_of_everything(ada), level=level)

    assert counts(ada) == (1, 1, 1, 2, 1)
    assert counts(ada, 8) == (1, 1, 0, 0, 0)
    assert counts(ada, 0) == (1, 2, 1, 2, 1)


def test_who_lets_us_count_only_has_no_log(ada):
    insert_events((one, LogLevel.COUNTS) for one in some_of_everything(ada))

    rows = list(DeliveryEvent.objects.values_list("message_id", "kind", "data"))
    assert {(message, kind) for message, kind, _ in rows} == {(NO_TRACE, "counted")}
    assert "@" not in str(rows)

    LogWriter().move_once()

    with tenant_schema(ada.tenant.pk):
        assert not LoggedEvent.objects.exists()
        assert not LoggedMessage.objects.exists()
    assert not DeliveryEvent.objects.exists()


def test_who_lets_us_write_nothing_is_not_counted(ada):
    happened(*some_of_everything(ada), level=LogLevel.NOTHING)

    assert counts(ada, 0) == (0, 0, 0, 0, 0)


def test_our_own_mail_is_none_of_the_tenants(ada):
    happened(event(ada, EventKind.ACCEPTED, routes=(), direction="notice"))

    assert counts(ada, 0) == (0, 0, 0, 0, 0)


def test_an_event_that_is_moved_again_counts_once(ada):
    happened(event(ada, outcome="failed"))
    with tenant_schema(ada.tenant.pk):
        old = LoggedEvent.objects.get()
    DeliveryEvent.objects.create(
        id=old.pk,
        tenant_id=ada.tenant.pk,
        message_id=old.trace_id,
        kind=old.kind,
        data=old.data,
    )

    LogWriter().move_once()

    assert counts(ada) == (0, 0, 0, 1, 0)
    with tenant_schema(ada.tenant.pk):
        assert RouteFailure.objects.count() == 1


def test_days_are_those_of_utc_and_thirty_of_them_count(ada):
    happened(event(ada, outcome="delivered"))
    late = datetime.now(UTC).replace(hour=23, minute=59, second=59) - timedelta(days=29)
    insert_events([(event(ada, outcome="delivered"), LogLevel.METADATA)])
    DeliveryEvent.objects.update(at=late)
    LogWriter().move_once()

    with tenant_schema(ada.tenant.pk):
        days = days_of(ROUTE)
        RouteDay.objects.filter(day=late.date()).update(day=late.date() - timedelta(days=1))
    assert (len(days), days[0].day, days[0].delivered, days[-1].delivered) == (
        30,
        late.date(),
        1,
        1,
    )
    assert counts(ada)[1] == 1


def test_the_last_use_is_the_last_accepted_mail(ada):
    happened(event(ada, EventKind.ACCEPTED))
    with tenant_schema(ada.tenant.pk):
        used = counts_of([ROUTE])[ROUTE].last_used_at
        assert used == LoggedEvent.objects.get().at

    happened(event(ada, outcome="delivered"))

    with tenant_schema(ada.tenant.pk):
        assert counts_of([ROUTE])[ROUTE].last_used_at == used


@pytest.mark.parametrize(
    ("enhanced", "about"),
    [
        ("5.1.1", False),
        ("5.2.1", False),
        ("5.2.3", True),
        ("5.3.4", True),
        ("5.4.7", False),
        ("5.6.0", True),
        ("5.7.1", True),
        ("5.7.26", True),
        ("", False),
    ],
)
def test_what_a_message_is_refused_for_says_nothing_of_its_route(enhanced, about):
    assert is_about_message(enhanced) is about


@pytest.fixture
def route(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    with tenant_schema(ada.tenant.pk):
        return Route.objects.get()


def fail(person, route, times, **more):
    happened(*(event(person, outcome="failed", routes=(route.pk,), **more) for _ in range(times)))
    with tenant_schema(person.tenant.pk):
        route.refresh_from_db()
    return route.paused_because


@pytest.mark.parametrize("level", [LogLevel.COUNTS, LogLevel.METADATA])
def test_the_twelfth_failure_within_a_day_pauses_the_route(ada, route, level):
    assert fail(ada, route, 11) == ""

    happened(event(ada, outcome="failed", routes=(route.pk,)), level=level)

    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().paused_because == "failures"


def test_failures_of_the_day_before_are_forgotten(ada, route):
    fail(ada, route, 11)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {ada.tenant.schema_name}.messagelog_routefailure"
            " SET at = at - interval '24 hours'"
        )

    assert fail(ada, route, 11) == ""

    with tenant_schema(ada.tenant.pk):
        assert RouteFailure.objects.count() == 11


def test_nobody_pauses_a_route_by_writing_spam_to_it(ada, route):
    assert fail(ada, route, 30, about_message=True) == ""


def test_a_guard_in_trouble_stops_no_log(ada, route):
    from django.db import ProgrammingError

    class Broken:
        def pause_failing(self, failing, *, tenant_id):
            raise ProgrammingError("no")

    bind_route_guard(Broken())
    try:
        fail(ada, route, 12)
    finally:
        bind_route_guard(FailingRoutes())

    with tenant_schema(ada.tenant.pk):
        assert LoggedEvent.objects.count() == 12
    look_after(ada.tenant.pk, [route.pk])
    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().paused_because == "failures"
