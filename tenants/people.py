"""Who may do what with the people of a tenant: rules, without a database.

| role | invites, changes and removes | hands over, deletes, pauses |
|---|---|---|
| owner | everybody | yes |
| admin | admins, editors, viewers | no |
| editor, viewer | nobody | no |
"""

from typing import Final

from tenants.models import Membership

Role = Membership.Role

BELOW_OWNER: Final = (Role.ADMIN, Role.EDITOR, Role.VIEWER)

WHAT_A_ROLE_MAY: Final = {
    Role.OWNER: "everything: people, deletion, export",
    Role.ADMIN: "domains, routes, keys, logging, and people who are not owners",
    Role.EDITOR: "domains and routes",
    Role.VIEWER: "look, and change nothing",
}


def roles_within(role: Membership.Role | str) -> tuple[Membership.Role, ...]:
    """The roles that a member in `role` may give, take away or remove."""
    if role == Role.OWNER:
        return (Role.OWNER, *BELOW_OWNER)
    return BELOW_OWNER if role == Role.ADMIN else ()


def may_manage(role: Membership.Role | str, other: Membership.Role | str) -> bool:
    """Whether a member in `role` may invite, change or remove one in the role `other`."""
    return other in roles_within(role)
