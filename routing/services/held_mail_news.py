"""What owners are told of mail that a paused route holds: that it is deleted tomorrow.

delivery finds it a day before (mail/ports.py). One mail about all routes that are due, and for each
route not again within six days: a pause that goes on is told of now and then, and one that begins
after a mail was sent has its own first mail seven days later at the earliest.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from mail.errors import BadAddress
from mail.facts import RouteMode
from mail.notice import account_mail
from mail.ports import EndingMail
from routing.models import Route
from routing.services.news import moment
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.models import Tenant
from tenants.notices import send_notice
from tenants.selectors import owner_addresses

TOLD_EVERY: Final = timedelta(days=6)
MOST_LISTED: Final = 50


def tell_of_ends(*, tenant_id: int, ending: Sequence[EndingMail]) -> int:
    """Queue one mail to each owner where there is a route to be told of; gives how many routes."""
    with public_schema():
        known = Tenant.objects.filter(pk=tenant_id)
        # Who paused his tenant himself can still resume it; one that the operator stopped can not.
        goes_on = Q(standing=Tenant.Standing.ACTIVE) | Q(paused_by_owner=True)
        tenant = known.filter(goes_on).first()
    if tenant is None:
        return 0
    by_route = {one.route_id: one for one in ending}
    with transaction.atomic(), tenant_schema(tenant_id):
        now = database_now()
        # Who comes second waits here, and finds that it was told. `update`: nothing was changed.
        due = Route.with_trash.select_for_update(of=("self",)).select_related("domain")
        untold = Q(held_told_at=None) | Q(held_told_at__lte=now - TOLD_EVERY)
        routes = list(
            due.filter(untold, pk__in=by_route).exclude(mode=RouteMode.ON.value, removed_at=None)
        )
        Route.with_trash.filter(pk__in=[one.pk for one in routes]).update(held_told_at=now)
        if routes:
            routes.sort(key=lambda one: by_route[one.pk].first_at)
            _tell_owners(tenant, [(one, by_route[one.pk]) for one in routes])
    return len(routes)


def _tell_owners(tenant: Tenant, due: Sequence[tuple[Route, EndingMail]]) -> None:
    # To the tenant's own owners: the addresses of their own routes are no stranger's text to them.
    for address in sorted(owner_addresses(tenant.pk)):
        try:
            notice = account_mail(
                recipient=address,
                subject="Mail held for a paused route is deleted tomorrow",
                paragraphs=_words(tenant, due),
                service_domain=settings.ENV.service_domain,
            )
        except BadAddress:
            continue  # an account whose name is no mailbox: an operator's "root"
        send_notice(notice, tenant_id=tenant.pk)


def _words(tenant: Tenant, due: Sequence[tuple[Route, EndingMail]]) -> tuple[str, ...]:
    panel = f"{settings.ENV.panel_url.rstrip('/')}/t/{tenant.slug}"
    told = [f"{_said(route, ending)} {_link(route, panel)}" for route, ending in due[:MOST_LISTED]]
    more = (f"And {len(due) - MOST_LISTED} routes more.",) if len(due) > MOST_LISTED else ()
    return (
        "These routes are paused and hold their mail, and mail is held for seven days at most:",
        *told,
        *more,
        "Resume a route, and all that waits for it is sent. What is deleted is gone for good, and "
        "whoever wrote it is not told.",
        "You will not be written to about these routes again within six days.",
    )


def _said(route: Route, ending: EndingMail) -> str:
    many = "1 message is" if ending.messages == 1 else f"{ending.messages} messages are"
    return f"{route}: {many} deleted within a day, the first on {moment(ending.first_at)}."


def _link(route: Route, panel: str) -> str:
    where = "It is in the trash, restore it first: " if route.removed_at is not None else ""
    return f"{where}{panel}/routes/{route.pk}/"
