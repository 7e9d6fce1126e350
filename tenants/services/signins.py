"""Sessions: the browsers in which a person is signed in, listed and ended.

A row of `WebSession` is what keeps a browser signed in: panel.sessions asks for it on every
request. Ending one deletes the row and the data that Django keeps under its key.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from tenants.audit import Actor, record_platform
from tenants.errors import UnknownName
from tenants.models import User, WebSession

SEEN_EVERY: Final = timedelta(minutes=5)
LONGEST_USER_AGENT: Final = 200
KEPT_VALUES: Final = "kept_values"
"""Under which a session holds what was typed into a page (panel/kept.py)."""


def keep_session(
    *, user: User, session_key: str, client_ip: str | None, user_agent: str, before: str = ""
) -> WebSession:
    """List a browser in which the person has just signed in; the session `before` it is over."""
    now = timezone.now()
    with transaction.atomic():
        _end(WebSession.objects.filter(session_key=before) if before else ())
        return WebSession.objects.create(
            user=user,
            session_key=session_key,
            client_ip=client_ip,
            user_agent=_one_line(user_agent),
            signed_in_at=now,
            last_seen_at=now,
        )


def living_session(*, session_key: str, user_id: int, is_used: bool = True) -> WebSession | None:
    """The session if it is still one; None where it was ended or lived too long.

    `is_used`: the person did something, which makes it last; a page that asks by itself does not.
    """
    session = WebSession.objects.filter(session_key=session_key, user_id=user_id).first()
    if session is None:
        return None
    now = timezone.now()
    if _is_over(session, now):
        end_session(session_key=session_key)
        return None
    if is_used and now - session.last_seen_at >= SEEN_EVERY:
        session.last_seen_at = now
        session.save(update_fields=["last_seen_at"])
    return session


def rename_session(*, old_key: str, new_key: str) -> None:
    """The same session under a new key."""
    WebSession.objects.filter(session_key=old_key).update(session_key=new_key)


def end_session(*, session_key: str) -> None:
    """Sign one browser out; harmless where it is out already."""
    with transaction.atomic():
        _end(WebSession.objects.filter(session_key=session_key))


def end_listed_session(*, user: User, session_id: int, actor: Actor) -> WebSession:
    """Sign out one of the person's browsers from another. Raises `UnknownName`."""
    with transaction.atomic():
        session: WebSession | None = (
            WebSession.objects.select_for_update().filter(pk=session_id, user=user).first()
        )
        if session is None:
            raise UnknownName("This session is over already.")
        _end([session])
        record_platform("account.session_ended", user.email, actor=actor, old=_told(session))
    return session


def end_sessions(*, user: User, actor: Actor, kept_session: str) -> int:
    """Sign the person out everywhere but here; gives how many sessions that were."""
    with transaction.atomic():
        ended = end_other_sessions(user=user, kept_session=kept_session)
        record_platform("account.sessions_ended", user.email, actor=actor, old={"sessions": ended})
    return ended


def end_other_sessions(*, user: User, kept_session: str = "") -> int:
    """The same as part of another change, which writes the audit."""
    return _end(WebSession.objects.filter(user=user).exclude(session_key=kept_session))


def forget_typed(*, users: Iterable[int], below: str) -> int:
    """Drop what these people typed into pages below an address and never sent; gives sessions."""
    keys = WebSession.objects.filter(user_id__in=users).values_list("session_key", flat=True)
    forgotten = 0
    for row in Session.objects.select_for_update().filter(session_key__in=list(keys)):
        data = row.get_decoded()
        if data.get(KEPT_VALUES, {}).get("path", "").startswith(below):
            del data[KEPT_VALUES]
            row.session_data = SessionStore().encode(data)
            row.save(update_fields=["session_data"])
            forgotten += 1
    return forgotten


def sweep_sessions() -> int:
    """Delete sessions and data of Django's that have lived too long; gives their number."""
    now = timezone.now()
    idle, life = _lives()
    old = WebSession.objects.filter(last_seen_at__lt=now - idle)
    older = WebSession.objects.filter(signed_in_at__lt=now - life)
    with transaction.atomic():
        ended = _end(old) + _end(older)
    left = Session.objects.filter(expire_date__lt=now)
    return ended + int(left._raw_delete(left.db))


def _end(sessions: Iterable[WebSession]) -> int:
    ended = [(session.pk, session.session_key) for session in sessions]
    WebSession.objects.filter(pk__in=[pk for pk, _ in ended]).delete()
    data = Session.objects.filter(session_key__in=[key for _, key in ended])
    data._raw_delete(data.db)
    return len(ended)


def _is_over(session: WebSession, now: datetime) -> bool:
    idle, life = _lives()
    return now - session.last_seen_at >= idle or now - session.signed_in_at >= life


def _lives() -> tuple[timedelta, timedelta]:
    return (
        timedelta(seconds=settings.SESSION_IDLE_SECONDS),
        timedelta(seconds=settings.SESSION_COOKIE_AGE),
    )


def _told(session: WebSession) -> dict[str, str]:
    return {"client_ip": session.client_ip or "", "signed_in_at": f"{session.signed_in_at:%FT%TZ}"}


def _one_line(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain[:LONGEST_USER_AGENT].strip()
