"""What lists show of mail: trace ids as people copy them, states in words, links to stories."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Case, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.html import format_html

from delivery.models import Delivery
from delivery.selectors import state_word
from delivery.story_text import TONES
from mail.trace import format_trace_id, printable
from ops.middleware import SHARED_PREFIX
from tenants.models import Tenant


def story_link(trace_id: UUID, slug: str) -> str:
    """A trace id that leads to the message's story, on the tenant's own site."""
    printed = format_trace_id(trace_id)
    if not slug:
        return format_html('<span class="id">{}</span>', printed)
    return format_html(
        '<a class="id" href="{}t/{}/mail/{}/">{}</a>', SHARED_PREFIX, slug, printed, printed
    )


def story_here(trace_id: UUID) -> str:
    """The same on a tenant's own site, whose prefix `reverse` knows."""
    printed = format_trace_id(trace_id)
    address = reverse("admin:story", args=[printed], current_app="opened")
    return format_html('<a class="id" href="{}">{}</a>', address, printed)


def tenant_link(tenant: Tenant) -> str:
    """A slug that leads into the tenant, by way of the reason."""
    return format_html('<a href="{}t/{}/">{}</a>', SHARED_PREFIX, tenant.slug, tenant.slug)


def badge(word: str, tone: str | None = None) -> str:
    """A state: the word says it, the colour helps to find it."""
    tone = TONES.get(word, "") if tone is None else tone
    return format_html('<span class="badge {}">{}</span>', tone, word)


def moment(at: datetime | None) -> str:
    """A moment with its time zone; nothing for none."""
    if at is None:
        return ""
    utc = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{}</time>',
        utc.isoformat(timespec="seconds"),
        f"{utc:%-d %b %Y, %H:%M} UTC",
    )


def with_slug(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Rows with their tenant's slug, in the same query."""
    slugs = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("slug")[:1]
    return rows.annotate(slug=Subquery(slugs))


def with_word(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Deliveries that know whether they are due later, by the database's clock."""
    later = Case(When(next_attempt_at__gt=Now(), then=Value("y")), default=Value(""))
    return rows.annotate(later=later, accepted_at=F("message__accepted_at"))


def yes_or_no(field: str, description: str) -> Any:
    """A column that says it in a word, where Django would draw a coloured sign."""

    @admin.display(description=description, ordering=field)
    def said(_: Any, row: Any) -> str:
        return "yes" if getattr(row, field) else "no"

    return said


class MailColumns:
    """Columns for rows of the queue."""

    @admin.display(description="Trace", ordering="message_id")
    def trace(self, row: Any) -> str:
        return story_link(row.message_id, row.slug)

    @admin.display(description="Tenant")
    def tenant(self, row: Any) -> str:
        if not row.slug:
            return "-"
        return format_html('<a href="{}t/{}/">{}</a>', SHARED_PREFIX, row.slug, row.slug)

    @admin.display(description="State", ordering="state")
    def word(self, row: Any) -> str:
        return badge(state_word(row.state, row.attempts, later=bool(row.later)))

    @admin.display(description="Last reply")
    def reply(self, row: Any) -> str:
        return printable(row.last_reply, 200) or "-"
