"""Exports, imports and the check of the audit: one at a time for a tenant, two at once in all."""

from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from tenants.errors import TooBusy
from tenants.heavy import AT_ONCE, begin_heavy_work, lock_name
from tenants.limits import LIMITS, QUARTER, Kind, Limit, Limits

pytestmark = pytest.mark.django_db

CSV = "address,destinations,mode,note,until\r\nhi@example.org,a@away.example,,,\r\n"


def another_session():
    known = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    return psycopg.connect(**{name: known[name] for name in names}, autocommit=True)


@contextmanager
def elsewhere(*names):
    """Another process holds these locks."""
    with another_session() as other:
        assert all(_try(other, name) for name in names)
        yield


def _try(session, name):
    key = [lock_name(name)]
    row = session.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", key).fetchone()
    return row == (True,)


def free(name):
    with another_session() as other:
        return _try(other, name)


def end(answer):
    """What the server does with every answer, read or not."""
    for close in answer._resource_closers:
        close()


def ask(person, what):
    client = person.client()
    match what:
        case "export of everything":
            return client.post(person.url("tenant-export"))
        case "export of routes":
            return client.get(person.url("routes-export"))
        case "import":
            return client.post(person.url("routes-import"), {"text": CSV})
        case "apply":
            return client.post(person.url("routes-import-apply"), {"lines": "x"})
        case "trying a policy":
            return client.get(person.url("trust-try"), {"days": "3"})
        case "chain by HEAD":
            return client.head(person.url("audit-chain"))
    return client.get(person.url("audit-chain"))


HEAVY = (
    *("export of everything", "export of routes", "import", "apply", "chain", "chain by HEAD"),
    "trying a policy",
)


@pytest.mark.parametrize("what", HEAVY)
def test_a_second_one_of_a_tenant_is_told_to_wait(ada, mallory, what):
    ada.has_domain("example.org")
    mallory.has_domain("example.net")

    with elsewhere(f"tenant {ada.tenant.pk}"):
        refused, allowed = ask(ada, what), ask(mallory, what)
        end(allowed)

    assert (refused.status_code, refused["Retry-After"]) == (429, "30")
    assert "<script" not in refused.content.decode()
    assert what == "chain by HEAD" or "Another export" in refused.content.decode()
    assert allowed.status_code in (200, 303, 422)


def test_only_so_many_tenants_do_it_at_once(ada):
    places = [f"place {number}" for number in range(AT_ONCE)]

    with elsewhere(*places[1:]):
        assert ask(ada, "chain").status_code == 200
    with elsewhere(*places):
        assert "Others are" in ask(ada, "chain").content.decode()


def test_pages_that_only_show_a_form_are_never_refused(ada):
    with elsewhere(f"tenant {ada.tenant.pk}"):
        assert ada.client().get(ada.url("tenant-export")).status_code == 200
        assert ada.client().get(ada.url("routes-import")).status_code == 200
        assert ada.client().get(ada.url("trust-try")).status_code == 200


def test_one_after_the_other_is_not_for_ever(ada, mallory, monkeypatch):
    of_heavy = Limits(Limit(9, QUARTER), Limit(99, QUARTER), account=(Limit(3, QUARTER),))
    monkeypatch.setitem(LIMITS, Kind.HEAVY_WORK, of_heavy)

    said = [ask(ada, "chain") for _ in range(4)]

    assert [one.status_code for one in said] == [200, 200, 200, 429]
    assert int(said[-1]["Retry-After"]) > 60
    assert "There were many" in said[-1].content.decode()
    assert ask(mallory, "chain").status_code == 200
    assert free(f"tenant {ada.tenant.pk}")
    assert free("place 0")


@pytest.mark.parametrize("what", ["export of everything", "export of routes"])
def test_a_download_is_work_until_it_is_read_or_given_up(ada, what):
    own = f"tenant {ada.tenant.pk}"
    ada.has_domain("example.org")
    first, second, third = (ask(ada, what) for _ in range(3))
    assert not free(own)

    assert b"".join(first.streaming_content)
    next(iter(second.streaming_content))
    assert not free(own)
    for given_up in (second, third):
        end(given_up)

    assert free(own)
    assert free("place 0")


def test_who_lets_a_download_lie_loses_the_session(ada):
    def timeouts():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('idle_session_timeout'),"
                " current_setting('idle_in_transaction_session_timeout')"
            )
            return cursor.fetchone()

    before = timeouts()
    with begin_heavy_work(ada.tenant.pk):
        assert timeouts() == ("2min", "2min")

    assert timeouts() == before


def test_the_locks_are_free_after_a_refusal(ada):
    places = [f"place {number}" for number in range(AT_ONCE)]
    with elsewhere(*places), pytest.raises(TooBusy):
        begin_heavy_work(ada.tenant.pk)

    assert free(f"tenant {ada.tenant.pk}")
