"""A test message: ours, to an address of a route, by the way that all mail goes.

It is queued as a notice to the tenant's own address. The sending loop finds the domain hosted here
and hands it to the same rules as mail from outside; what they make of it stands in its trace.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from mail.facts import DomainStanding
from mail.notice import account_mail
from routing.models import AuditEntry, Route
from routing.selectors import domain_snapshot
from tenants.audit import Actor, record_in_tenant
from tenants.changes import lock_routes
from tenants.context import tenant_schema
from tenants.errors import RouteRefused, UnknownName
from tenants.models import Tenant
from tenants.notices import send_notice

MOST_AN_HOUR: Final = 10
TESTED: Final = "route.tested"
_STAR_BECOMES: Final = "test"


def send_test_message(*, tenant: Tenant, route_id: int, actor: Actor | str) -> UUID:
    """Queue a test message to the route's address; gives its trace id.

    Raises `UnknownName` where there is no such route; `RouteRefused` where its domain is not
    served for this tenant, another route takes the address, or ten went out within the hour.
    """
    with transaction.atomic(), tenant_schema(tenant.pk):
        lock_routes(tenant.schema_name)
        route = Route.objects.select_related("domain").filter(pk=route_id).first()
        if route is None:
            raise UnknownName("There is no such route.")
        address = example_address(tenant, route)
        _refuse_too_many()
        notice = account_mail(
            recipient=address,
            subject="A test message",
            paragraphs=_words(address),
            service_domain=settings.ENV.service_domain,
        )
        trace_id = send_notice(notice, tenant_id=tenant.pk)
        record_in_tenant(TESTED, str(route), actor=actor, new={"recipient": address})
    return trace_id


def example_address(tenant: Tenant, route: Route) -> str:
    """An address that this route takes. Raises `RouteRefused` where there is none to be had."""
    name = route.domain.name
    snapshot = domain_snapshot(name)
    ours = snapshot is not None and snapshot.tenant_id == tenant.pk
    if snapshot is None or not ours or snapshot.standing is not DomainStanding.SERVED:
        # Mail to a domain that is not ours to take would leave for wherever its MX records say.
        raise RouteRefused(f"{name} is not served here: its proof must be seen in the DNS first.")
    local_part = route.pattern.replace("*", _STAR_BECOMES)
    match = snapshot.routes.match(route.pattern_key.replace("*", _STAR_BECOMES))
    if match is None:
        raise RouteRefused("The route is past its end: give it another one first.")
    if match.route.route_id != route.pk:
        raise RouteRefused(
            f"Mail to {local_part}@{name} goes to the route {match.route.pattern}@{name}: test "
            "that one."
        )
    return f"{local_part}@{name}"


def _refuse_too_many() -> None:
    lately = AuditEntry.objects.filter(action=TESTED, at__gt=Now() - timedelta(hours=1))
    if lately.count() >= MOST_AN_HOUR:
        raise RouteRefused(
            f"{MOST_AN_HOUR} test messages went out within the last hour: try again later."
        )


def _words(address: str) -> tuple[str, ...]:
    return (
        f"This is a test message to {address}. If you read it at the other end, mail to that "
        "address arrives.",
        "It was sent on request of somebody who looks after that address. Nobody reads answers.",
    )
