"""H14: addresses live in every store as long as the tenant keeps logs; with 0 days nowhere at all.

Mail goes in at a real edge and out to a real next hop: taken and delivered, taken and failed, and
refused. Then every table and every process log is searched for the addresses.
"""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from delivery.models import Delivery
from delivery.retention import apply_retention
from delivery.sweeps import sweep_failed_content, sweep_finished_messages
from routing.models import LogPolicy
from tenants.context import tenant_schema
from tests.delivery.conftest import eventually, keys, queue, sending, sink
from tests.delivery.log_words import age_log, the_log_writer_runs
from tests.smtp_edge.edge_process import edge

__all__ = ["keys", "queue", "sending", "sink"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CANARY = "canary9c41"
AUTHOR = f"{CANARY}@s.example"


def days(tenant, number: int) -> None:
    with tenant_schema(tenant.pk):
        kinds = ("message_days", "refused_days", "attempt_days", "content_days")
        LogPolicy.objects.update(**dict.fromkeys(kinds, number))


def mail_comes_in(mx) -> None:
    client = mx.connect()
    octets = f"From: {AUTHOR}\r\nSubject: {CANARY}\r\n\r\nx\r\n".encode()
    for recipient in (f"ok-{CANARY}@example.org", f"fail-{CANARY}@example.org"):
        assert client.deliver(octets, recipient, AUTHOR).startswith("250")
    client.say(f"MAIL FROM:<{AUTHOR}>")
    assert client.say(f"RCPT TO:<{CANARY}@empty.example>").startswith("550")
    client.close()


def mail_goes_out(sink, sending) -> None:
    sink.script["RCPT bad@there.example"] = [f"550 5.1.1 nobody knows {CANARY}"]
    one = sending(sink.port)
    eventually(
        lambda: list(Delivery.objects.values_list("state", flat=True)) == [Delivery.State.FAILED]
    )
    one.stop()
    the_log_writer_runs()


def stores_with_the_canary() -> dict[str, int]:
    """Rows of every table in which it stands in clear."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname = 'public' OR schemaname ~ '^t[0-9]+$'"
        )
        for schema, table in cursor.fetchall():
            cursor.execute(
                f'SELECT count(*) FROM {schema}."{table}" AS rows WHERE rows::text ILIKE %s',
                [f"%{CANARY}%"],
            )
            if count := cursor.fetchone()[0]:
                found[table] = count
    return found


def time_passes(tenant, **past: float) -> None:
    """The stores grow older, and what runs every few minutes has run."""
    span = timedelta(**past)
    age_log(tenant, span / timedelta(days=1))
    Delivery.objects.update(finished_at=F("finished_at") - span)
    apply_retention()
    sweep_failed_content()
    sweep_finished_messages()


@pytest.fixture
def kept_for(ada, sink, sending, tmp_path, capfd):
    """Mail under a policy of so many days; gives what the process logs say."""

    def go(number: int) -> str:
        for name in ("example.org", "empty.example"):
            ada.has_domain(name)
        ada.has_route("ok-*@example.org", "good@there.example")
        ada.has_route("fail-*@example.org", "bad@there.example")
        days(ada.tenant, number)
        with edge(tmp_path) as mx:
            mail_comes_in(mx)
            time.sleep(0.8)
            mx.end()
            written = mx.log.read_text()
        mail_goes_out(sink, sending)
        return written + "".join(capfd.readouterr())

    return go


def test_with_no_days_nothing_is_ever_written(ada, kept_for):
    logs = kept_for(0)

    assert CANARY not in logs
    assert "delivery.attempted" in logs
    waiting_to_be_swept = {"delivery_delivery", "delivery_message"}
    assert stores_with_the_canary().keys() <= waiting_to_be_swept
    assert not Delivery.objects.get().last_reply
    time_passes(ada.tenant, hours=1)
    assert stores_with_the_canary() == {}


@pytest.mark.parametrize("number", [1, 7, 30])
def test_an_hour_after_the_days_nothing_is_left(ada, kept_for, number):
    logs = kept_for(number)

    time_passes(ada.tenant, days=number, hours=-1)
    before = stores_with_the_canary()
    time_passes(ada.tenant, hours=2)

    assert CANARY not in logs
    assert {
        "messagelog_loggedevent",
        "messagelog_loggedmessage",
        "messagelog_loggedname",
        "delivery_delivery",
    } <= before.keys()
    assert stores_with_the_canary() == {}
