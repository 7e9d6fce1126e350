"""Routes and their destinations: how each stands, and what support may do about it."""

from datetime import datetime
from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from delivery.messagelog.models import RouteFailure
from delivery.route_counts import RouteCounts, counts_of
from mail.facts import RouteMode
from mail.ports import FAILURES_THAT_PAUSE
from mail.trace import printable
from ops.admin import search
from ops.admin.base import (
    REFUSALS,
    ReadOnlyAdmin,
    ServiceAdmin,
    ServiceForm,
    actor_of,
    sentences,
    tenant_of,
    try_each,
)
from ops.admin.columns import badge, moment
from ops.admin.forms import AddRouteForm, RouteModeForm
from ops.admin.sites import tenant_site
from routing.listing import RouteState, state_of
from routing.models import KEPT_IN_TRASH, Destination, Route
from routing.services import (
    add_route,
    ask_again,
    confirm_destination,
    remove_route,
    restore_route,
    set_mode,
)
from routing.services.confirmations import Asked
from tenants.contacts import ASKED_EVERY_HOURS, MOST_ASKED, contact_with

REASONS: Final = {
    RouteState.ON: "Mail is forwarded to the destinations that are confirmed.",
    RouteState.PAUSED: "Somebody paused it: see the audit.",
    RouteState.FAILING: f"We paused it after {FAILURES_THAT_PAUSE} permanent failures within a "
    "day, and told the owners. It goes on when the tenant, or you, set it to on.",
    RouteState.UNCONFIRMED: "No owner of a destination has agreed yet: clients are asked to try "
    "later (450).",
    RouteState.EXPIRED: "Its end is over: the address is unknown, as if there were no route.",
    RouteState.TRASH: f"It was removed: the address is unknown. After {KEPT_IN_TRASH.days} days "
    "in the trash it is gone for good.",
}


class InTrash(admin.SimpleListFilter):
    """Routes as mail finds them, or those that were removed."""

    title = "place"
    parameter_name = "trash"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("only", "in the trash"), ("too", "all")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "only":
            return queryset.filter(removed_at__isnull=False)
        return queryset if self.value() == "too" else queryset.filter(removed_at=None)

    def choices(self, changelist: Any) -> Any:
        found = list(super().choices(changelist))
        found[0]["display"] = "in force"
        return found


@admin.register(Route, site=tenant_site)
class RouteAdmin(ServiceAdmin):
    purpose = "Where each address goes."
    list_display = ("address", "state", "goes_to", "noted", "changed_at")
    list_filter = ("mode", "paused_because", InTrash)
    list_select_related = ("domain",)
    search_fields = ("pattern", "domain__name", "destinations__address", "note")
    search_help_text = "Address, destination or domain"
    add_form, change_form = AddRouteForm, RouteModeForm
    add_fields = ("address", "goes_to", "confirmed", "note")
    change_fields = ("mode",)
    shown_fields = (
        *("address", "state", "goes_to", "noted", "expires_at", "removed_at"),
        *("created_at", "changed_at"),
    )
    below = "admin/facts.html"
    removable = True
    consequence = (
        "Mail to it goes to the catch-all route of the domain, or is refused. It stays in the "
        f"trash for {KEPT_IN_TRASH.days} days, from where it can be restored."
    )
    actions = ("restore",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        ends = Prefetch("destinations", Destination.objects.order_by("id"), to_attr="ends")
        rows = Route.with_trash.order_by("domain__name", "pattern").annotate(asked_at=Now())
        return rows.select_related("domain").prefetch_related(ends)

    def find(
        self, request: HttpRequest, rows: QuerySet[Route], wanted: search.Wanted
    ) -> QuerySet[Route] | None:
        if wanted.address:
            there = Q(destinations__address__iexact=wanted.address)
            here = Q(domain__name=wanted.place)
            return rows.filter(there | here).distinct()
        return None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Services know routes by their address: what is in the trash is not meant by one."""
        in_trash = obj is not None and obj.removed_at is not None
        return not in_trash and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        in_trash = obj is not None and obj.removed_at is not None
        return not in_trash and super().has_delete_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fields = super().get_fields(request, obj)
        in_trash = obj is not None and obj.removed_at is not None
        return tuple(name for name in fields if name != "mode") if in_trash else fields

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing to restore where the trash is not shown."""
        return super().get_actions(request) if request.GET.get(InTrash.parameter_name) else {}

    def to_do(self, request: HttpRequest, obj: Any) -> list[tuple[str, str]]:
        restore = ("restore", "Restore from the trash")
        return [restore] if obj.removed_at is not None else []

    def tell(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        counts = counts_of([obj.pk]).get(obj.pk, RouteCounts())
        failures = RouteFailure.objects.filter(route_id=obj.pk).count()
        lately = f"{counts.accepted} accepted, {counts.delivered} delivered, {counts.failed} failed"
        facts = [
            ("Last 30 days", lately),
            ("Last used", moment(counts.last_used_at) or "not yet"),
            (
                "Permanent failures within a day",
                f"{failures}; at {FAILURES_THAT_PAUSE} it is paused" if failures else "",
            ),
        ]
        return {
            "acted_on": f"?{InTrash.parameter_name}=too",
            "facts_title": "Why it does what it does",
            "facts_lead": REASONS[_state(obj)],
            "facts": [fact for fact in facts if fact[1]],
        }

    @admin.display(description="Address", ordering="pattern_key")
    def address(self, route: Route) -> str:
        return str(route)

    @admin.display(description="State")
    def state(self, route: Any) -> str:
        state = _state(route)
        word = state.value
        if state is RouteState.PAUSED:
            word = Route.Mode(route.mode).label
        return badge(word, state.tone or "plain")

    @admin.display(description="Note")
    def noted(self, route: Route) -> str:
        return printable(route.note, 200) or "-"

    @admin.display(description="Goes to")
    def goes_to(self, route: Any) -> str:
        return ", ".join(
            end.address if end.confirmed_at else f"{end.address} (not confirmed)"
            for end in route.ends
        )

    def add(self, request: HttpRequest, form: ServiceForm) -> Route:
        asked = form.cleaned_data
        return add_route(
            tenant=tenant_of(request),
            address=asked["address"],
            destinations=asked["goes_to"],
            confirmed=asked["confirmed"],
            note=asked["note"],
            actor=actor_of(request),
        )

    def change(self, request: HttpRequest, obj: Route, form: Any) -> None:
        mode: RouteMode = form.wanted_mode()
        set_mode(tenant=tenant_of(request), address=str(obj), mode=mode, actor=actor_of(request))

    def remove(self, request: HttpRequest, obj: Route, typed: str) -> None:
        remove_route(tenant=tenant_of(request), address=str(obj), actor=actor_of(request))

    @admin.action(description="Restore from the trash")
    def restore(self, request: HttpRequest, rows: QuerySet[Route]) -> None:
        def restore(route: Route) -> None:
            restore_route(tenant=tenant_of(request), route_id=route.pk, actor=actor_of(request))

        try_each(self, request, rows, restore, "is restored")


def _state(route: Any) -> RouteState:
    confirmed = any(end.confirmed_at for end in route.ends)
    return state_of(route, has_confirmed=confirmed, now=route.asked_at)


@admin.register(Destination, site=tenant_site)
class DestinationAdmin(ReadOnlyAdmin):
    purpose = "Addresses that mail is forwarded to, once their owners agreed."
    list_display = ("address", "state", "confirmed_at", "confirmed_by", "asked_at")
    list_filter = (("confirmed_at", admin.EmptyFieldListFilter),)
    search_fields = ("address",)
    search_help_text = "Address or domain"
    hidden = ("ask_digest",)
    fields = (
        *("address", "state", "confirmed_at", "confirmed_by", "asked_at", "ask_expires_at"),
        *("ask_used_at", "stopped_at", "created_at"),
    )
    readonly_fields = ("state",)
    below = "admin/facts.html"
    actions = ("ask", "confirm")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        return super().get_queryset(request).annotate(now=Now())

    @admin.display(description="State")
    def state(self, one: Any) -> str:
        return badge(*_consent(one, one.now))

    def tell(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        contact = contact_with(obj.address)
        routes = Route.objects.filter(destinations=obj).select_related("domain")
        again = f"{contact.asked} of {MOST_ASKED}, over all tenants" if contact.asked else "not yet"
        facts = [
            ("Routes that lead to it", ", ".join(map(str, routes[:10])) or "none"),
            ("Times its owner was asked", again),
            ("Last asked", moment(contact.last_asked_at)),
            ("Wants no mail from this service since", moment(contact.blocked_at)),
        ]
        return {
            "facts_title": "Why it is so",
            "facts_lead": f"An owner is asked {MOST_ASKED} times at most, once in "
            f"{ASKED_EVERY_HOURS} hours, and never once the domain is not proved or he said “not "
            "me”.",
            "facts": [fact for fact in facts if fact[1]],
        }

    @admin.action(description="Ask again by mail")
    def ask(self, request: HttpRequest, rows: QuerySet[Destination]) -> None:
        for one in rows[:20]:
            try:
                asked = ask_again(
                    tenant=tenant_of(request), address=one.address, actor=actor_of(request)
                )
            except REFUSALS as refusal:
                self.message_user(request, " ".join(sentences(refusal)), messages.ERROR)
            else:
                level = messages.SUCCESS if asked is Asked.YES else messages.WARNING
                self.message_user(request, f"{one}: {asked.value}.", level)

    @admin.action(description="Confirm by the operator's word")
    def confirm(self, request: HttpRequest, rows: QuerySet[Destination]) -> None:
        def confirm(one: Destination) -> None:
            confirm_destination(
                tenant=tenant_of(request), address=one.address, actor=actor_of(request)
            )

        try_each(self, request, rows, confirm, "is confirmed")


def _consent(one: Destination, now: datetime) -> tuple[str, str]:
    """Word and tone of an owner's answer."""
    if one.confirmed_at is not None:
        return "confirmed", "good"
    if one.stopped_at is not None:
        return "stopped by its owner", "bad"
    if one.asked_at is None:
        return "not asked yet", "warn"
    if one.ask_expires_at is not None and now >= one.ask_expires_at:
        return "asked, the link has expired", "warn"
    return "asked, waits for an answer", "warn"
