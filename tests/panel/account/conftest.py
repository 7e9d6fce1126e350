"""A browser that gets in by the pages, an authenticator, and the mailbox of the service's mail."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass, field, replace

import pytest
from django.test import Client
from django.utils.html import escape

PASSWORD = "correct horse battery"
NEW_PASSWORD = "an entirely other staple"
SCRIPT = re.compile(r"<script|javascript:|\son[a-z]+\s*=|\sstyle\s*=|<style", re.I)


@dataclass
class Mailbox:
    """Mail that was handed in by committed and rolled back transactions alike: (to, subject, text)."""

    mails: list[tuple[str, str, str]] = field(default_factory=list)

    def send_notice(self, notice, *, tenant_id) -> None:
        assert tenant_id is None  # account mail belongs to no tenant
        message = email.message_from_bytes(notice.octets, policy=email.policy.default)
        text = message.get_content().replace("\r\n", "\n")
        self.mails.append((notice.recipient, message["Subject"], text))

    def subjects(self, address: str) -> list[str]:
        return [subject.split(": ", 1)[1] for to, subject, _ in self.mails if to == address]

    def link(self, address: str) -> str:
        """The path of the link in the last mail to the address."""
        text = [text for to, _, text in self.mails if to == address][-1]
        return re.search(r"^http://[^/\n]+(/\S+/)$", text, re.MULTILINE)[1]


@dataclass
class Browser:
    """Somebody without script at our pages."""

    client: Client = field(default_factory=Client)
    ip: str = "192.0.2.7"

    def gets(self, path: str, **more):
        response = self.client.get(path, REMOTE_ADDR=self.ip, **more)
        if response.status_code == 200:
            assert not SCRIPT.search(response.content.decode()), path
            assert "no-store" in response["Cache-Control"], path
        return response

    def sends(self, path: str, **values):
        return self.client.post(path, values, REMOTE_ADDR=self.ip)

    def signs_in(self, address: str, password: str = PASSWORD, **more):
        return self.sends("/sign-in/", email=address, password=password, **more)

    @property
    def key(self) -> str:
        return self.client.cookies["mxax-session"].value

    def is_in(self) -> bool:
        return self.client.get("/account/", REMOTE_ADDR=self.ip).status_code == 200

    def with_key(self, key: str) -> Browser:
        """Somebody who has got hold of a session's key."""
        other = Browser()
        other.client.cookies["mxax-session"] = key
        return other


class Authenticator:
    """Shows codes; its clock moves with `later`, and so does ours while a code is checked."""

    def __init__(self, device, monkeypatch) -> None:
        self.device, self.monkeypatch = device, monkeypatch
        self.now = 1_800_000_015.0
        self.later(0)

    def later(self, seconds: float) -> None:
        """Moves the clock that TOTP is judged by, beyond the pause after a wrong code too."""
        self.now += seconds
        self.device.__class__.objects.update(throttling_failure_count=0)
        now = self.now

        class Time:
            @staticmethod
            def time() -> float:
                return now

        self.monkeypatch.setattr("django_otp.plugins.otp_totp.models.time", Time)

    def code(self, *, steps: int = 0) -> str:
        from django_otp.oath import TOTP

        totp = TOTP(self.device.bin_key)
        totp.time = self.now + 30 * steps
        return f"{totp.token():06d}"


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def mailbox():
    from delivery.notices import QueuedNotices
    from tenants.notices import bind_notices

    box = Mailbox()
    bind_notices(box)
    yield box
    bind_notices(QueuedNotices())


@pytest.fixture(autouse=True)
def everybody_has_a_password(request, mailbox):
    """The cast is made without passwords."""
    for name in ("ada", "mallory"):
        if name in request.fixturenames:
            user = request.getfixturevalue(name).user
            user.set_password(PASSWORD)
            user.save()


@pytest.fixture
def sign_up_is_on(settings):
    settings.ENV = replace(settings.ENV, sign_up=True)


@pytest.fixture
def authenticator(ada, monkeypatch):
    """Ada has a second factor; `codes` are her recovery codes."""
    from tenants.audit import Actor
    from tenants.services.factors import begin_factor, confirm_factor

    shows = Authenticator(begin_factor(user=ada.user), monkeypatch)
    shows.codes = confirm_factor(
        user=ada.user, code=shows.code(), actor=Actor(ada.email), kept_session=""
    )
    shows.later(60)
    return shows


def says(response, text: str) -> bool:
    return escape(text) in response.content.decode() or text in response.content.decode()


def time_goes_by(**parts) -> None:
    """Every listed session was begun and seen that much earlier."""
    from datetime import timedelta

    from django.db.models import F

    from tenants.models import WebSession

    ago = timedelta(**parts)
    WebSession.objects.update(
        signed_in_at=F("signed_in_at") - ago, last_seen_at=F("last_seen_at") - ago
    )


def not_lately_proved(browser: Browser) -> None:
    session = browser.client.session
    session["confirmed_at"] = 0
    session.save()
