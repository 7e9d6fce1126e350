"""The real process on a real database: what it keeps, what it hears, how it goes."""

import json
import os
import threading
import time

import pytest

from mail.trace import format_trace_id
from tests.smtp_edge.edge_process import edge
from tests.timing import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada_with_a_route(transactional_db, ada):
    from tenants.vault import prove_data_key

    prove_data_key(create=True)  # the test before emptied every table
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@there.example")
    return ada


def queued():
    from delivery.models import Delivery

    return list(Delivery.objects.select_related("message").order_by("id"))


def content_of(message) -> bytes:
    from delivery.content import unseal_chunk
    from delivery.models import Content

    return b"".join(
        unseal_chunk(
            bytes(one.octets),
            tenant_id=one.tenant_id,
            message_id=one.message_id,
            number=one.number,
        )
        for one in Content.objects.filter(message_id=message.id).order_by("number")
    )


def test_250_means_that_it_is_in_the_database(ada_with_a_route, tmp_path, letter):
    with edge(tmp_path) as mx:
        reply = mx.connect().deliver(letter, "hi@example.org")

        (delivery,) = queued()

    assert reply == f"250 2.0.0 Ok: queued as {format_trace_id(delivery.message.id)}"
    assert delivery.destination == "friend@there.example"
    assert delivery.tenant_id == ada_with_a_route.tenant.pk
    assert content_of(delivery.message).endswith(letter)


def test_a_large_message_is_kept_whole(ada_with_a_route, tmp_path):
    octets = b"Subject: large\r\n\r\n" + os.urandom(60).hex().encode() + b"\r\nmore\r\n" * 400_000
    with edge(tmp_path) as mx:
        reply = mx.connect().deliver(octets, "hi@example.org")

        assert reply.startswith("250")
        (delivery,) = queued()
        assert delivery.message.chunk_count > 5
        assert content_of(delivery.message).endswith(octets)


def test_a_large_message_that_breaks_off_leaves_no_pieces(ada_with_a_route, tmp_path):
    from delivery.models import Content

    with edge(tmp_path) as mx:
        client = mx.connect()
        client.mail("bob@sender.example", "hi@example.org")
        client.say("DATA")
        client.send(b"Subject: large\r\n\r\n" + b"more\r\n" * 200_000)
        eventually(Content.objects.exists)
        client.close()

        eventually(lambda: not Content.objects.exists())


def test_a_changed_route_counts_for_the_next_rcpt_within_a_second(ada_with_a_route, tmp_path):
    with edge(tmp_path) as mx:
        client = mx.connect()
        client.mail("bob@sender.example")
        assert client.say("RCPT TO:<new@example.org>").startswith("550 5.1.1")
        assert client.say("RCPT TO:<hi@fresh.example>").startswith("550 5.7.1")

        ada_with_a_route.has_route("new@example.org", "friend@there.example")
        ada_with_a_route.has_domain("fresh.example")
        ada_with_a_route.has_route("hi@fresh.example", "friend@there.example")

        for recipient in ("new@example.org", "hi@fresh.example"):
            asked = f"RCPT TO:<{recipient}>"
            eventually(lambda asked=asked: client.say(asked).startswith("250"), 5, every=0.5)


def test_a_refusal_can_be_traced(ada_with_a_route, tmp_path):
    from delivery.models import DeliveryEvent, RefusalTally

    with edge(tmp_path) as mx:
        client = mx.connect()
        client.mail("bob@sender.example", "nobody@example.org")
        eventually(DeliveryEvent.objects.exists)
        eventually(RefusalTally.objects.exists)

    (event,) = DeliveryEvent.objects.all()
    assert event.kind == "refused"
    assert event.data["recipient"] == "nobody@example.org"
    assert event.data["reply"].startswith("550 5.1.1")
    assert event.data["rule"] == "unknown_address"
    assert RefusalTally.objects.get().count == 1


def test_the_days_usage_is_counted_and_caps(ada_with_a_route, tmp_path, letter):
    from delivery.models import TenantUsage
    from tenants.models import Tenant

    Tenant.objects.filter(pk=ada_with_a_route.tenant.pk).update(forward_cap=2)
    with edge(tmp_path) as mx:
        client = mx.connect()
        for _ in range(2):
            assert client.deliver(letter, "hi@example.org").startswith("250")
        assert client.mail("bob@sender.example", "hi@example.org").startswith("450 4.7.1")
        eventually(TenantUsage.objects.filter(accepted=2).exists)
    with edge(tmp_path) as mx:
        client = mx.connect()
        client.deliver(letter, "hi@example.org")
        eventually(TenantUsage.objects.filter(accepted=3).exists)
        time.sleep(0.3)  # it is told in the same breath

        # Another process learns what the first one counted with its first flush.
        assert client.mail("bob@sender.example", "hi@example.org").startswith("450 4.7.1")

    assert TenantUsage.objects.get().accepted == 3


def test_two_processes_share_one_port(ada_with_a_route, tmp_path, letter):
    with edge(tmp_path) as first, edge(tmp_path, port=first.port) as second:
        for _ in range(30):
            assert first.connect().deliver(letter, "hi@example.org").startswith("250")
        accepted = [one.log.read_text().count("mail.accepted") for one in (first, second)]

    assert sum(accepted) == 30
    assert min(accepted) > 0


def test_it_ends_when_told_to_and_finishes_what_was_begun(ada_with_a_route, tmp_path, letter):
    with edge(tmp_path) as mx:
        idle, busy = mx.connect(), mx.connect()
        busy.mail("bob@sender.example", "hi@example.org")

        ended: list[int] = []
        ending = threading.Thread(target=lambda: ended.append(mx.end()))
        ending.start()

        assert idle.reply().startswith("421 4.3.2")
        assert busy.data(letter).startswith("250")
        ending.join(20)

    assert ended == [0]
    assert len(queued()) == 1
    events = [json.loads(line)["event"] for line in mx.log.read_text().splitlines()]
    assert events[-1] == "edge.ended"


def test_it_works_in_the_role_of_the_edge_alone(ada_with_a_route, tmp_path):
    from django.db import connection

    with edge(tmp_path) as mx:
        mx.connect().mail("bob@sender.example", "hi@example.org")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT application_name FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            names = {row[0] for row in cursor.fetchall()}

    assert names == {"mxax_edge"}


def test_it_ends_by_itself_when_nobodys_time_would_ever_be_over(ada_with_a_route, tmp_path, letter):
    with edge(tmp_path, command=("-m", "tests.smtp_edge.forgetful_edge")) as mx:
        client = mx.connect()
        client.mail("carol@sender.example", "hi@example.org")

        eventually(lambda: "edge.draining" in mx.log.read_text())
        assert client.data(letter).startswith("250")  # what was begun is finished
        client.close()

        assert mx.process.wait(40) == os.EX_SOFTWARE
        assert "edge.sweeper_died" in mx.log.read_text()
    assert len(queued()) == 1
