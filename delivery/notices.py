"""Queues mail of our own making: DSNs, confirmation mail, account mail (DESIGN: notice).

    Notice (RFC 5322, whole)  ->  Date and Message-ID on top  ->  queue, in the caller's transaction

It is sealed, queued, signed by the service domain and tried like all other mail. With a tenant it
is his: his log tells of it as his policy allows, and it goes when he is erased.
"""

import os
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from delivery import bell
from delivery.acceptance import KeptMessage, insert_messages
from delivery.content import CHUNK_OCTETS
from mail.facts import LogLevel, NeverKept
from mail.message import CRLF
from mail.plan import Direction, PlannedDelivery, PlannedMessage
from mail.ports import Notice
from mail.trace import format_trace_id, new_trace_id
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.schema_models import log_policy


class QueuedNotices:
    """The `NoticeSender` of mail/ports.py over the queue."""

    def send_notice(self, notice: Notice, *, tenant_id: int | None) -> UUID:
        """Queue a notice in the current transaction; the loops are woken once it commits."""
        with transaction.atomic():
            kept = _kept(notice, tenant_id, database_now())
            with public_schema() if tenant_id is None else tenant_schema(tenant_id):
                insert_messages([kept])  # row-level security judges by the open schema
            transaction.on_commit(bell.ring)
        return kept.plan.trace_id


def _kept(notice: Notice, tenant_id: int | None, now: datetime) -> KeptMessage:
    trace_id = new_trace_id(time.time_ns() // 1_000_000, os.urandom(10))
    domain = settings.ENV.service_domain
    head = (
        f"Date: {format_datetime(now.astimezone(UTC))}\r\n"
        f"Message-ID: <{format_trace_id(trace_id)}@{domain}>\r\n"
    )
    octets = head.encode("ascii") + notice.octets
    chunks = tuple(octets[i : i + CHUNK_OCTETS] for i in range(0, len(octets), CHUNK_OCTETS))
    header_octets = octets.index(CRLF + CRLF) + len(CRLF)
    policy = _policy(tenant_id)
    plan = PlannedMessage(
        trace_id=trace_id,
        tenant_id=tenant_id,
        direction=Direction.NOTICE,
        reverse_path=notice.reverse_path,
        outgoing_path=notice.reverse_path,
        client_ip="",
        helo="",
        protocol="",
        tls="",
        size_octets=len(octets),
        header_octets=header_octets,
        smtputf8=not octets[:header_octets].isascii() or not notice.recipient.isascii(),
        eight_bit=not octets.isascii(),
        log_level=LogLevel.METADATA if policy is None else _level(policy),
        keeps_attempts=policy is None or NeverKept.ATTEMPTS not in policy.never_kept,
        deliveries=(PlannedDelivery(notice.recipient, notice.recipient),),
    )
    return KeptMessage(plan, chunks, first_chunk_number=0, chunk_count=len(chunks))


def _policy(tenant_id: int | None) -> Any:
    """The tenant's own policy; None: mail of the service itself is logged as metadata."""
    if tenant_id is None:
        return None
    with tenant_schema(tenant_id):
        policies: Any = log_policy()._default_manager
        return policies.filter(domain=None).first() or log_policy()()


def _level(policy: Any) -> LogLevel:
    kept: LogLevel = policy.kept_level
    return min(kept, LogLevel.COUNTS) if NeverKept.MESSAGES in policy.never_kept else kept
