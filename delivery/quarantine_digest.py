"""The digest: what came into quarantine since the last one, by mail to the tenant's owners.

Once a day at most, and not at all where the tenant does not want it or nothing is new. It tells no
more than the tenant's log keeps, never a word of the content; strangers chose authors and subjects,
so these are one line each, with nothing that a mail program would make a link of. Two links a
message lead to pages with a button; where the tenant demands a second factor there are none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from delivery.held_room import little_room
from delivery.models import QuarantineDigest
from delivery.quarantine_links import HeldMatter, LinkAction, decision_link, told
from delivery.quarantine_selectors import matters
from mail.errors import BadAddress
from mail.notice import account_mail
from mail.plan import Hold
from mail.ports import QuarantineWishes
from mail.trace import printable
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.models import Membership, Tenant
from tenants.notices import send_notice

log = structlog.get_logger("delivery.quarantine_digest")

MOST_LISTED: Final = 20
SETTLED: Final = timedelta(minutes=1)
"""Mail that came later is left to the next digest: a lower id may still be committed."""
_LONGEST: Final = 120
_NEWS = """
    SELECT held.tenant_id FROM (
        SELECT tenant_id, max(id) AS newest FROM public.delivery_delivery
        WHERE state = 2 AND hold = %s AND tenant_id IS NOT NULL GROUP BY tenant_id) AS held
    LEFT JOIN public.delivery_quarantinedigest digest USING (tenant_id)
    WHERE digest.tenant_id IS NULL OR (
        digest.last_delivery < held.newest
        AND digest.sent_at < (SELECT clock_timestamp()) - interval '1 day')
    ORDER BY 1
"""
# Whoever comes second waits for this row, and then finds that the turn was taken.
_TAKE_TURN = """
    INSERT INTO public.delivery_quarantinedigest AS known (tenant_id, sent_at, last_delivery)
    VALUES (%s, clock_timestamp(), 0)
    ON CONFLICT (tenant_id) DO UPDATE SET sent_at = excluded.sent_at
    WHERE known.sent_at < clock_timestamp() - interval '1 day'
    RETURNING last_delivery
"""
_bound: list[QuarantineWishes] = []


def bind_quarantine_wishes(wishes: QuarantineWishes) -> None:
    """Name who knows what tenants chose."""
    _bound[:] = [wishes]


@dataclass(frozen=True, slots=True)
class _Item:
    """One matter: the id that its links name, and what may be told."""

    delivery_id: int
    held: HeldMatter


def send_digests() -> int:
    """One to each tenant who has news and wants it; gives how many tenants were told."""
    with public_schema(), connection.cursor() as cursor:
        cursor.execute(_NEWS, [int(Hold.QUARANTINE)])
        tenants = [tenant_id for (tenant_id,) in cursor.fetchall()]
    return sum(_sent(tenant_id) for tenant_id in tenants)


def _sent(tenant_id: int) -> bool:
    """Trouble with one tenant is no trouble of the others."""
    try:
        return any(wishes.wants_digest(tenant_id=tenant_id) for wishes in _bound) and send_digest(
            tenant_id
        )
    except DatabaseError as error:
        cause = type(error.__cause__ or error).__name__
        log.warning("quarantine.digest_waits", tenant_id=tenant_id, reason=cause)
        return False


def send_digest(tenant_id: int) -> bool:
    """Tell the owners of one tenant what is new; False where it is not his turn, or nothing is."""
    with public_schema():
        tenant = Tenant.objects.filter(pk=tenant_id, standing=Tenant.Standing.ACTIVE).first()
    if tenant is None:
        return False
    with transaction.atomic():
        after = _turn(tenant_id)
        if after is None:
            return False
        rows, count = _news(tenant_id, after)
        if not rows:
            transaction.set_rollback(True)  # the turn stays: what comes next is told at once
            return False
        QuarantineDigest.objects.filter(pk=tenant_id).update(last_delivery=rows[0].pk)
        name = tenant.name or tenant.slug
        items = [_Item(row.pk, told(row, tenant_name=name)) for row in rows]
        _tell_owners(tenant, items, count - len(items))
    return True


def _news(tenant_id: int, after: int) -> tuple[list[Any], int]:
    """The newest matters that no digest told of, and how many there are in all."""
    with tenant_schema(tenant_id):
        new = matters(tenant_id).filter(
            pk__gt=after, message__accepted_at__lt=database_now() - SETTLED
        )
        rows = list(new.order_by("-pk")[:MOST_LISTED])
        return rows, new.count() if len(rows) == MOST_LISTED else len(rows)


def _turn(tenant_id: int) -> int | None:
    """The last delivery that was told of, where a digest may go now."""
    with public_schema(), connection.cursor() as cursor:
        cursor.execute(_TAKE_TURN, [tenant_id])
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _tell_owners(tenant: Tenant, items: list[_Item], more: int) -> None:
    with public_schema():
        owners = Membership.objects.filter(
            tenant=tenant, role=Membership.Role.OWNER, user__is_active=True
        )
        people = list(owners.order_by("user_id").values_list("user_id", "user__email"))
    count = len(items) + more
    for user_id, address in people:
        try:
            notice = account_mail(
                recipient=address,
                subject=f"Held in quarantine: {count} message{'s' if count > 1 else ''}",
                paragraphs=tuple(_paragraphs(tenant, user_id, items, more)),
                service_domain=settings.ENV.service_domain,
            )
        except BadAddress:
            continue  # an account whose name is no mailbox: an operator's "root"
        send_notice(notice, tenant_id=tenant.pk)


def _paragraphs(tenant: Tenant, user_id: int, items: list[_Item], more: int) -> Iterator[str]:
    panel = f"{settings.ENV.panel_url.rstrip('/')}/t/{tenant.slug}/quarantine/"
    yield (
        "This mail for your addresses is held in quarantine, because your policy does not trust "
        "it. Nobody has got it. What nobody releases is deleted at the time that stands beside it."
    )
    for number, item in enumerate(items, 1):
        yield f"{number}. {_facts(item.held)}"
        if tenant.requires_second_factor:
            continue
        for words, action in (("Release it", LinkAction.RELEASE), ("Delete it", LinkAction.DELETE)):
            link = decision_link(
                action, tenant_id=tenant.pk, user_id=user_id, delivery_id=item.delivery_id
            )
            yield f"{words}: {link}"
    if more:
        yield f"And {more} more."
    room = little_room(tenant.pk)
    if room is not None:
        yield (
            f"Held mail takes {room.taken * 100 // room.most} % of the room that it may, that of "
            "paused routes included. Once it is full, what would be held is put off, and in the "
            "end goes back to whoever wrote it: release or delete what you have seen."
        )
    yield f"Everything in quarantine, and what is in each message: {panel}"
    if not tenant.requires_second_factor:
        yield (
            "Each link leads to a page with a button; opening it changes nothing. It is for you: "
            "whoever has it can decide about that message."
        )
    yield "This message is written once a day at most; your trust preferences switch it off."


def _facts(held: HeldMatter) -> str:
    said = [f"From {_plain(held.author)}" if held.author else "From an author who is not logged"]
    said += [f"to {_plain(held.recipient)}"] if held.recipient else []
    said += [f"“{_plain(held.subject)}”"] if held.subject else []
    until = held.held_until
    end = f" Kept until {until.astimezone(UTC):%-d %B %Y, %H:%M} UTC." if until else ""
    return f"{', '.join(said)}. Held because: {_plain(held.reason)}.{end}"


def _plain(text: Any) -> str:
    """One line that no mail program makes a link of."""
    line = printable(str(text), _LONGEST).rstrip(".")
    return line.replace("://", ": //").replace("www.", "www .")
