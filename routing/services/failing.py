"""Pausing a route whose mail fails again and again, and telling the owners of it.

delivery counts the failures and calls this through mail/ports.py (bound in mxax/wiring.py). A route
is paused once: it is on before, and from then on nothing of its mail is taken that could fail.
"""

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

from mail.errors import BadAddress
from mail.facts import RouteMode
from mail.notice import account_mail
from mail.ports import FAILURES_THAT_PAUSE, FailingRoute
from routing.models import Route
from tenants.audit import THE_SERVICE, record_in_tenant
from tenants.changes import lock_routes, routes_changed
from tenants.context import public_schema, tenant_schema
from tenants.models import Tenant
from tenants.notices import send_notice
from tenants.selectors import owner_addresses


class FailingRoutes:
    """The `RouteGuard` of mail/ports.py over the tenant's routes."""

    def pause_failing(self, failing: Sequence[FailingRoute], *, tenant_id: int) -> None:
        pause_failing(tenant_id=tenant_id, failing=failing)


def pause_failing(*, tenant_id: int, failing: Sequence[FailingRoute]) -> list[Route]:
    """Pause those routes that are on and were not changed since their failures began.

    A change (of a destination, by resuming it) makes the count begin anew.
    """
    began = {one.route_id: one.began_at for one in failing}
    with public_schema():
        tenant = Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        return []
    with transaction.atomic(), tenant_schema(tenant_id):
        lock_routes(tenant.schema_name)
        on = Route.objects.select_related("domain").filter(pk__in=began, mode=RouteMode.ON.value)
        paused = [route for route in on.order_by("pk") if began[route.pk] > route.changed_at]
        for route in paused:
            _pause(route)
            _tell_owners(tenant, route)
    return paused


def _pause(route: Route) -> None:
    old = {"mode": route.mode}
    route.mode, route.paused_because = RouteMode.REFUSE.value, Route.Cause.FAILURES
    route.save(update_fields=["mode", "paused_because", "changed_at"])
    new = {"mode": route.mode, "because": str(route.paused_because)}
    record_in_tenant("route.mode", str(route), actor=THE_SERVICE, old=old, new=new)
    routes_changed(route.domain.name)


def _tell_owners(tenant: Tenant, route: Route) -> None:
    # To the tenant's own owners: the address of their own route is no stranger's text to them.
    for address in sorted(owner_addresses(tenant.pk)):
        try:
            notice = account_mail(
                recipient=address,
                subject=f"A route is paused: its mail failed {FAILURES_THAT_PAUSE} times",
                paragraphs=_words(tenant, route),
                service_domain=settings.ENV.service_domain,
            )
        except BadAddress:
            continue  # an account whose name is no mailbox: an operator's "root"
        send_notice(notice, tenant_id=tenant.pk)


def _words(tenant: Tenant, route: Route) -> tuple[str, ...]:
    panel = settings.ENV.panel_url.rstrip("/")
    return (
        f"Mail to {route} could not be delivered {FAILURES_THAT_PAUSE} times within 24 hours, so "
        "the route is paused: mail to it is refused now, and whoever writes is told at once.",
        "The reasons stand in the log of each message. Most often the mailbox at the other end is "
        "closed or full. Name another destination, or have the mailbox mended; then resume the "
        "route:",
        f"{panel}/t/{tenant.slug}/routes/{route.pk}/",
        "You will not be written to again about this pause.",
    )
