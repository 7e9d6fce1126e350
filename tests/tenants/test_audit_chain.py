"""The audit is one chain, whoever writes at the same time."""

import threading

import pytest
from django.db import connections, transaction

from tenants.audit import Actor, first_break, record_platform
from tenants.models import PlatformAuditEntry


@pytest.mark.django_db(transaction=True)
def test_twenty_writers_make_one_chain():
    start = threading.Barrier(20)

    def write(number: int) -> None:
        try:
            start.wait(30)
            for turn in range(5):
                with transaction.atomic():
                    record_platform("test.written", f"{number}/{turn}", actor="test")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert PlatformAuditEntry.objects.count() == 100
    assert first_break(PlatformAuditEntry) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"actor": "mallory"},
        {"actor_id": 5},
        {"client_ip": "192.0.2.1"},
        {"action": "x"},
        {"tenant_slug": "other"},
        {"old": {"a": 1}},
        {"new": {"a": "2"}},
        {"digest": "0" * 64},
    ],
)
def test_every_field_is_covered(change):
    actor = Actor("ada", user_id=1, client_ip="2001:db8::1")
    for number in range(3):
        record_platform("a", "b", actor=actor, tenant_slug="ada", old=None, new={"a": number})
    second = PlatformAuditEntry.objects.order_by("id")[1]

    PlatformAuditEntry.objects.filter(pk=second.pk).update(**change)

    assert first_break(PlatformAuditEntry) == second.pk


@pytest.mark.django_db
@pytest.mark.parametrize(
    "client_ip", [None, "192.0.2.1", "2001:DB8:0:0::1", "::FFFF:192.0.2.1", "::1"]
)
def test_an_address_of_any_spelling_keeps_the_chain(client_ip):
    record_platform("a", "b", actor=Actor("ada", client_ip=client_ip))

    assert first_break(PlatformAuditEntry) is None


@pytest.mark.django_db
def test_what_is_said_may_be_long_and_odd():
    record_platform(
        "a" * 100,
        "s" * 500 + "\x1b[31m",
        actor="x" * 400,
        new={"ü": ["\u2028", 1.5, None], "a": {"z": 1, "b": 2}},
    )

    assert first_break(PlatformAuditEntry) is None
