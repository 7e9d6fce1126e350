"""Which part answers for which port of mail/ports.py: the one place that knows both sides.

Listed among the apps of the settings, so that every process that has Django has its wires.
"""

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from delivery.hosted import Reception


class Wiring(AppConfig):
    name = "mxax"
    label = "wiring"

    def ready(self) -> None:
        bind()


def bind() -> None:
    """Bind every port; may run any number of times."""
    from delivery.failing_routes import bind_route_guard
    from delivery.holds import QueuedHolds, bind_route_states
    from delivery.hosted import bind_reception
    from delivery.notices import QueuedNotices
    from delivery.quarantine_digest import bind_quarantine_wishes
    from routing.services.failing import FailingRoutes
    from routing.services.held_mail import TenantRoutes, bind_held_mail
    from routing.services.quarantine_wishes import TenantWishes
    from tenants.notices import bind_notices

    bind_notices(QueuedNotices())
    bind_reception(_reception)
    bind_route_guard(FailingRoutes())
    bind_held_mail(QueuedHolds())
    bind_route_states(TenantRoutes())
    bind_quarantine_wishes(TenantWishes())


def _reception() -> "Reception":
    """The MX without a wire; only a process that sends mail loads it."""
    from smtp_edge.inside import InsideReception

    return InsideReception.from_settings()
