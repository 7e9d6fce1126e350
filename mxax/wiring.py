"""Which part answers for which port of mail/ports.py: the one place that knows both sides.

Listed among the apps of the settings, so that every process that has Django has its wires.
"""

from django.apps import AppConfig


class Wiring(AppConfig):
    name = "mxax"
    label = "wiring"

    def ready(self) -> None:
        bind()


def bind() -> None:
    """Bind every port; may run any number of times."""
    from delivery.notices import QueuedNotices
    from tenants.notices import bind_notices

    bind_notices(QueuedNotices())
