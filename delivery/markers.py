"""The loop marker of a route: put on mail that the route forwards, looked for by the edge at DATA.

The same for all messages of a route; it tells nobody which route that is (mail.trace).
"""

from functools import lru_cache

from mail.trace import route_key, route_marker
from tenants.vault import derived_key


@lru_cache(maxsize=4096)
def loop_marker(tenant_id: int | None, route_id: int | None) -> str | None:
    """The marker of a route; None for a mailbox without one (postmaster@)."""
    if tenant_id is None or route_id is None:
        return None
    return route_marker(marker_secret(), route_key(tenant_id, route_id))


@lru_cache(maxsize=1)
def marker_secret() -> bytes:
    """The key of all loop markers of this installation."""
    return derived_key("route-marker")
