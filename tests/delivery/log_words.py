"""Words of the tests that tell stories of messages: events as the service writes them."""

from __future__ import annotations

import itertools
import os
from uuid import UUID

from django.db import connection

from delivery.logwriter import LogWriter
from delivery.outbox import insert_events
from mail.events import Event, EventKind
from mail.facts import LogLevel
from mail.trace import new_trace_id
from tenants.context import tenant_schema

RECIPIENT = "hi@ada.example"
_ticks = itertools.count(1_800_000_000_000)


def a_trace_id() -> UUID:
    return new_trace_id(next(_ticks), os.urandom(10))


def accepted(tenant, trace_id: UUID, *destinations: str, level=LogLevel.METADATA, **more) -> None:
    """The event that acceptance writes."""
    facts = {
        "direction": "forward",
        "reverse_path": "carol@author.example",
        "recipients": tuple((RECIPIENT, one) for one in destinations or ("friend@far.example",)),
        "author": "carol@author.example",
        "client_ip": "192.0.2.7",
        "helo": "client.author.example",
        "protocol": "ESMTP",
        "size_octets": 1234,
        "trail": ("unknown_domain", "accept"),
    }
    _write(tenant, trace_id, EventKind.ACCEPTED, level, **{**facts, **more})


def attempted(
    tenant, trace_id: UUID, destination: str, outcome: str, reply: str = "250 2.0.0 Ok", **more
) -> None:
    """The event that settling writes."""
    facts = {
        "recipient": RECIPIENT,
        "destination": destination,
        "outcome": outcome,
        "reply": reply,
        "attempt": 1,
        "next_hop": "mx.far.example:25",
    }
    _write(tenant, trace_id, EventKind.ATTEMPTED, LogLevel.METADATA, **{**facts, **more})


def refused(tenant, trace_id: UUID, recipient: str, **more) -> None:
    """A refusal at RCPT, kept exactly."""
    facts = {
        "recipient": recipient,
        "client_ip": "192.0.2.7",
        "stage": "rcpt",
        "reply": "550 5.1.1 No such mailbox here",
        "rule": "unknown_address",
    }
    _write(tenant, trace_id, EventKind.REFUSED, LogLevel.METADATA, **{**facts, **more})


def _write(tenant, trace_id: UUID, kind: EventKind, level: LogLevel, **facts) -> None:
    tenant_id = tenant.pk if tenant is not None else None
    insert_events([(Event(kind, trace_id, tenant_id, **facts), level)])


def the_log_writer_runs() -> None:
    writer = LogWriter()
    while writer.move_once():
        pass


def logged_messages(tenant) -> list:
    from delivery.messagelog.models import LoggedMessage

    with tenant_schema(tenant.pk):
        return list(LoggedMessage.objects.order_by("trace_id"))


def logged_kinds(tenant) -> list[str]:
    from delivery.messagelog.models import LoggedEvent

    with tenant_schema(tenant.pk):
        return list(LoggedEvent.objects.order_by("id").values_list("kind", flat=True))


def age_log(tenant, days: float) -> None:
    """The tenant's whole log is so many days older, and so is the last pass over it."""
    with connection.cursor() as cursor:
        for table in ("loggedevent", "loggedmessage"):
            cursor.execute(
                f"UPDATE t{tenant.pk}.messagelog_{table} SET at = at - make_interval(secs => %s)",
                [days * 86400],
            )
        cursor.execute(
            "UPDATE public.delivery_retentionrun"
            " SET finished_at = finished_at - make_interval(secs => %s) WHERE tenant_id = %s",
            [days * 86400, tenant.pk],
        )
