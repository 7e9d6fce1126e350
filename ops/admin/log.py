"""The tenant's log: messages and refusals as his policy allows."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from delivery.logsearch import SIDES
from delivery.messagelog.models import LoggedEvent, LoggedMessage, LoggedName
from mail.trace import printable
from ops.admin import search
from ops.admin.base import ReadOnlyAdmin
from ops.admin.columns import badge, story_here
from ops.admin.sites import tenant_site


@admin.register(LoggedMessage, site=tenant_site)
class LoggedMessageAdmin(ReadOnlyAdmin):
    called = ("message", "mail")
    purpose = "Every message and refusal of this tenant that his policy lets us keep."
    list_display = ("trace", "at", "reverse_path", "recipient", "subject_line", "word", "why")
    list_display_links = ("at",)
    list_filter = ("state", "direction")
    date_hierarchy = "at"
    ordering = ("-at",)
    search_fields = ("recipient", "reverse_path", "author", "subject", "reason", "client_ip")
    search_help_text = "Trace id, address, domain, or words of subject or reason"
    fields = (
        *("trace", "at", "direction", "word", "reverse_path", "recipient", "author"),
        *("whole_subject", "client_ip", "size_octets", "whole_reason", "changed_at"),
    )
    readonly_fields = ("trace", "word", "whole_subject", "whole_reason")

    def find(
        self, request: HttpRequest, rows: QuerySet[LoggedMessage], wanted: search.Wanted
    ) -> QuerySet[LoggedMessage] | None:
        if wanted.trace_id:
            return rows.filter(pk=wanted.trace_id)
        if wanted.address:
            return rows.filter(pk__in=_traces_of(wanted.address))
        return None

    @admin.display(description="Trace", ordering="at")
    def trace(self, row: LoggedMessage) -> str:
        return story_here(row.trace_id)

    @admin.display(description="Subject")
    def subject_line(self, row: LoggedMessage) -> str:
        return printable(row.subject, 60) or "-"

    @admin.display(description="Subject")
    def whole_subject(self, row: LoggedMessage) -> str:
        return printable(row.subject, 1000) or "-"

    @admin.display(description="Reason")
    def whole_reason(self, row: LoggedMessage) -> str:
        return printable(row.reason, 1000) or "-"

    @admin.display(description="State", ordering="state")
    def word(self, row: LoggedMessage) -> str:
        return badge(row.state)

    @admin.display(description="Reason")
    def why(self, row: LoggedMessage) -> str:
        return printable(row.reason, 120) or "-"


@admin.register(LoggedEvent, site=tenant_site)
class LoggedEventAdmin(ReadOnlyAdmin):
    called = ("event", "events of mail")
    purpose = "The single events behind the messages."
    list_display = ("at", "kind", "trace", "recipient")
    list_filter = ("kind",)
    ordering = ("-id",)
    search_fields = ("recipient",)
    search_help_text = "Trace id or address"
    fields = ("at", "kind", "trace", "recipient", "data")
    readonly_fields = ("trace",)

    def find(
        self, request: HttpRequest, rows: QuerySet[LoggedEvent], wanted: search.Wanted
    ) -> QuerySet[LoggedEvent] | None:
        if wanted.trace_id:
            return rows.filter(trace_id=wanted.trace_id)
        return rows.filter(trace_id__in=_traces_of(wanted.address)) if wanted.address else None

    @admin.display(description="Trace")
    def trace(self, row: LoggedEvent) -> str:
        return story_here(row.trace_id)


def _traces_of(address: str) -> Any:
    """Messages with this address on either side."""
    names = [f"{side}:{address.lower()}" for side in SIDES]
    return LoggedName.objects.filter(name__in=names).values("trace_id")
