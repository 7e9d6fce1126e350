"""The loop marker of a route: put on mail that a route forwards, looked for in mail that arrives.

Called by rendering (`X-Mxax-Route`) and by the edge's message rules. It is the same for all
messages of a route and tells nobody which route it is (mail.trace.route_marker).
"""

from functools import lru_cache

from mail.trace import route_marker
from tenants.vault import derived_key


@lru_cache(maxsize=4096)
def loop_marker(tenant_id: int | None, route_id: int | None, recipient: str) -> str:
    """The marker of the route that took this recipient; a mailbox without route has its own."""
    route = f"route {route_id}" if route_id is not None else f"mailbox {recipient.lower()}"
    return route_marker(_secret(), f"{tenant_id or 0} {route}".encode())


@lru_cache(maxsize=1)
def _secret() -> bytes:
    return derived_key("route marker")
