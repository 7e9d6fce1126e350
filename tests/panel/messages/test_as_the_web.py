"""The database role of the web process may do what these pages need, in its own tenant only."""

import pytest
from django.db import connection

from delivery.models import Content, Delivery, Message
from mail.facts import LogLevel
from mail.trace import format_trace_id
from routing.models import LogPolicy
from tenants.clock import database_now
from tenants.context import tenant_schema
from tests.delivery.log_words import a_trace_id, accepted, the_log_writer_runs
from tests.panel.keeping.test_logging import sends
from tests.panel.messages.test_message import kept

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]


@pytest.fixture
def as_the_web():
    """From its call on the connection works in the role of the panel."""

    def become(role: str = "mxax_web") -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {role}")

    yield become
    become("mxax_owner")


def test_looking_and_acting(ada, mallory, as_the_web):
    waits, failed = kept(ada), kept(ada, level=LogLevel.CONTENT)
    foreign = kept(mallory)
    Delivery.objects.filter(message=failed).update(
        state=Delivery.State.FAILED, finished_at=database_now()
    )
    accepted(ada.tenant, a_trace_id())
    the_log_writer_runs()
    client = ada.client()
    as_the_web()

    for url in (ada.url("messages"), f"{ada.url('messages')}?q=hi", ada.url("queue")):
        assert client.get(url).status_code == 200
    for message in (waits, failed):
        assert client.get(ada.url("message", format_trace_id(message.pk))).status_code == 200
    file = client.post(ada.url("message-download", format_trace_id(failed.pk)))
    octets = b"".join(file.streaming_content)
    for what in ("hold", "release", "retry", "cancel"):
        url = ada.url(f"message-{what}", format_trace_id(waits.pk))
        assert client.post(url).status_code == 303, what
    other = client.post(ada.url("message-cancel", format_trace_id(foreign.pk)))

    as_the_web("mxax_owner")
    assert octets.startswith(b"Received:")
    assert other.status_code == 404
    assert not Message.objects.filter(pk=waits.pk).exists()
    assert Message.objects.filter(pk=foreign.pk).exists()
    assert Content.objects.filter(message_id=foreign.pk).exists()


def test_changing_what_is_kept(ada, as_the_web):
    as_the_web()

    assert ada.client().get(ada.url("logging")).status_code == 200
    assert sends(ada, "logging-change", message_days=7).status_code == 200
    sends(ada, "logging-change", message_days=7, confirmed="yes")

    as_the_web("mxax_owner")
    with tenant_schema(ada.tenant.pk):
        assert LogPolicy.objects.get(domain=None).message_days == 7
