"""The sections of a tenant's pages, in the order in which people meet them."""

from dataclasses import dataclass
from typing import Final

from panel.access import Place, Role


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of the navigation."""

    label: str
    url: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A section: the first part of its addresses, the name of its first page, who sees it."""

    part: str
    label: str
    name: str
    role: Role = Role.VIEWER


SECTIONS: Final = (
    Section("", "Overview", "home"),
    Section("domains", "Domains", "domains"),
    Section("routes", "Routes", "routes"),
    Section("messages", "Messages", "messages"),
    Section("quarantine", "Quarantine", "quarantine"),
    Section("trust", "Trust", "trust"),
    Section("logging", "Logging", "logging"),
    Section("access", "Access", "access"),
    Section("people", "People", "people"),
    Section("audit", "Audit", "audit"),
    Section("settings", "Settings", "settings", Role.ADMIN),
)


def items_of(place: Place) -> list[NavItem]:
    """What a member sees; the open section is marked."""
    return [
        NavItem(section.label, place.url(section.name), section.part == place.section)
        for section in SECTIONS
        if place.may(section.role)
    ]
