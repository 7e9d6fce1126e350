"""Writes to a tenant's domains, routes and access, and the look-ups that decide about claims."""

from routing.services.confirmations import ask_again
from routing.services.credentials import create_credential, revoke_credential
from routing.services.domains import add_domain, remove_domain
from routing.services.proofs import check_domain, check_due_claims
from routing.services.routes import (
    KEEP,
    RouteEdit,
    add_route,
    confirm_destination,
    edit_route,
    set_mode,
)
from routing.services.trash import (
    newest_in_trash,
    purge_all,
    purge_trash,
    remove_route,
    restore_route,
)

__all__ = [
    "KEEP",
    "RouteEdit",
    "add_domain",
    "add_route",
    "ask_again",
    "check_domain",
    "check_due_claims",
    "confirm_destination",
    "create_credential",
    "edit_route",
    "newest_in_trash",
    "purge_all",
    "purge_trash",
    "remove_domain",
    "remove_route",
    "restore_route",
    "revoke_credential",
    "set_mode",
]
