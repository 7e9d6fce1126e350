"""Every address of the panel, read from the URLconf, so that a page added later is covered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

NAMESPACES = ("tenant", "account", "people", "public", "panel")


class NoExample(AssertionError):
    """A page with a parameter that the walk has no value for."""


@dataclass(frozen=True)
class Page:
    """One address: `name` as `reverse` takes it, and the parameters it has."""

    namespace: str
    name: str
    parameters: tuple[str, ...]
    view: Any

    @property
    def full_name(self) -> str:
        return f"{self.namespace}:{self.name}"

    def path(self, values: Mapping[str, Any]) -> str:
        missing = [one for one in self.parameters if one not in values]
        if missing:
            raise NoExample(f"{self.full_name}: tests/panel/estate.py has no value for {missing}")
        return reverse(self.full_name, kwargs={one: values[one] for one in self.parameters})


def pages(*namespaces: str) -> list[Page]:
    """Every page of these namespaces; all of the panel where none is named."""
    wanted = namespaces or NAMESPACES
    return [page for page in _under(get_resolver(), "", ()) if page.namespace in wanted]


def _under(resolver: URLResolver, space: str, above: tuple[str, ...]) -> Iterator[Page]:
    for pattern in resolver.url_patterns:
        own = (*above, *pattern.pattern.converters, *_groups(pattern))
        if isinstance(pattern, URLResolver):
            yield from _under(pattern, pattern.namespace or space, own)
        elif isinstance(pattern, URLPattern):
            yield Page(space, pattern.name or "", tuple(dict.fromkeys(own)), pattern.callback)


def _groups(pattern: Any) -> tuple[str, ...]:
    return tuple(getattr(getattr(pattern.pattern, "regex", None), "groupindex", ()))
