"""Which rows a pass of retention has to look at: those that came of age since the last one.

Where all days are the same, whatever is older is gone already, and the walk from the oldest row on
costs nothing. Where domains differ (one day here, thirty there) the rows between stay, and would be
read by each pass, every quarter of an hour. But what ended before the last pass was removed by it:
for each of the different days there is only the window that has moved over that age since.

    now - 30 d        now - 7 d           now - 1 d          now
    ──┤▓├───────────────┤▓├─────────────────┤▓├───────────────┤

All rows are looked at again where that may not hold: in the first pass of a day, after a change of
policies or domains, and where nobody can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from delivery.models import RetentionRun
from tenants.clock import database_now
from tenants.schema_models import tenant_audit

OVERLAP: Final = timedelta(hours=2)
"""A pass notes its end, not its begin; and what the log writer writes comes a little late."""
MOST_CHANGES: Final = 200
_CHANGES_WHAT_ENDS: Final = ("log_policy.", "domain.")


@dataclass(frozen=True, slots=True)
class Window:
    """Rows older than `days`, from the moment `after` on; "-infinity" for the oldest."""

    days: int
    after: Any = "-infinity"


def windows_of(lengths: Sequence[int], since: datetime | None) -> list[Window]:
    """The windows of one walk; `lengths`: its different days, the fewest first."""
    if since is None or len(lengths) < 2:
        return [Window(lengths[0])]
    return [Window(days, since - OVERLAP - timedelta(days=days)) for days in lengths]


def seen_to_until(tenant_id: int) -> datetime | None:
    """When the last pass over the open tenant ended; None where this one has to look at all."""
    last: datetime | None = (
        RetentionRun.objects.filter(tenant_id=tenant_id)
        .values_list("finished_at", flat=True)
        .first()
    )
    if last is None or last.astimezone(UTC).date() != database_now().astimezone(UTC).date():
        return None
    entries = tenant_audit()._base_manager.order_by("-id").values_list("at", "action")
    newest = [action for at, action in entries[:MOST_CHANGES] if at > last - OVERLAP]
    is_told = len(newest) < MOST_CHANGES
    changed = any(action.startswith(_CHANGES_WHAT_ENDS) for action in newest)
    return last if is_told and not changed else None
