"""Sam is a member of staff with a second factor, and a browser without script."""

from __future__ import annotations

import os
import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.test import Client

PASSWORD = "correct horse battery"


@dataclass
class Staff:
    """Somebody of staff at a browser."""

    user: object
    device: object
    browser: Client = field(default_factory=Client)

    def signs_in(self) -> Staff:
        """As if password and code had been typed."""
        from django_otp import DEVICE_ID_SESSION_KEY

        self.browser.force_login(self.user)
        session = self.browser.session
        session[DEVICE_ID_SESSION_KEY] = self.device.persistent_id
        session.save()
        return self

    def opens(self, tenant: object, reason: str = "Ticket 4711") -> None:
        from ops.grants import open_grant

        open_grant(tenant=tenant, staff=self.user, reason=reason, actor=self.user.email)

    def sees(self, path: str, status: int = 200) -> str:
        response = self.browser.get(path)
        assert response.status_code == status, (path, response.status_code, response)
        return response.content.decode()

    def sends(self, path: str, **values: object):
        return self.browser.post(path, values)

    def code(self) -> str:
        """What the authenticator shows now."""
        from django_otp.oath import totp

        return f"{totp(self.device.bin_key):06d}"


@pytest.fixture
def sam(db) -> Staff:
    from tenants.models import User
    from tenants.services.factors import enrol

    user = User.objects.create_user("sam@service.example", PASSWORD, is_staff=True)
    return Staff(user, enrol(user=user, actor="test"))


def queued(tenant: object, recipient: str = "hi@ada.example", **changes: object):
    """A message in the queue, deferred once, with the event of its acceptance."""
    from delivery.models import Content, Delivery, DeliveryEvent, Message
    from mail.trace import new_trace_id
    from tenants.clock import database_now

    trace_id: uuid.UUID = new_trace_id(time.time_ns() // 1_000_000, os.urandom(10))
    message = Message.objects.create(
        id=trace_id,
        tenant_id=tenant.pk,
        direction="forward",
        reverse_path="carol@author.example",
        client_ip="192.0.2.7",
        helo="author.example",
        protocol="ESMTP",
        size_octets=1234,
        header_octets=1,
        chunk_count=1,
        smtputf8=False,
        eight_bit=False,
        log_level=3,
    )
    Content.objects.create(message_id=trace_id, number=0, tenant_id=tenant.pk, octets=b"x")
    DeliveryEvent.objects.create(
        tenant_id=tenant.pk,
        message_id=trace_id,
        kind="accepted",
        data={
            "recipients": [[recipient, "friend@far.example"]],
            "recipient": recipient,
            "author": "carol@author.example",
            "client_ip": "192.0.2.7",
            "size_octets": 1234,
        },
    )
    values = {"recipient": recipient, "destination": "friend@far.example", "attempts": 1}
    values |= {"last_reply": "450 4.2.1 try later"}
    values |= {"next_attempt_at": database_now() + timedelta(hours=1)} | changes
    return Delivery.objects.create(message=message, tenant_id=tenant.pk, **values)


SCRIPT = re.compile(r"<script|[=\"']javascript:|\son[a-z]+\s*=|\sstyle\s*=|<style", re.I)
