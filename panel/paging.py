"""Pages by key: the next page begins behind the last row seen, however many rows lie before it."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, Q, QuerySet

PAGE_ROWS: Final = 50
MOST_KEY_LENGTH: Final = 400


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of one page; the keys are for `?after=` and `?before=`, empty at the ends."""

    rows: Sequence[Any]
    after: str = ""
    before: str = ""

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def by_key(
    queryset: QuerySet[Any],
    order: Sequence[str],
    asked: Any,
    *,
    size: int = PAGE_ROWS,
) -> Slice:
    """The page that `asked` (request.GET) names by `after` or `before`; the first one otherwise.

    `order` are field names, `-` for descending, the last of them unique: ("-at", "-trace_id").
    A key that somebody made up gives the first page.
    """
    before = _key(asked.get("before"), order)
    after = None if before else _key(asked.get("after"), order)
    backwards = before is not None
    key = before or after
    direction = [_turned(name) for name in order] if backwards else list(order)
    found = queryset.order_by(*direction)
    try:
        if key is not None:
            found = found.filter(_behind(direction, key))
        rows = list(found[: size + 1])
    except (ValueError, TypeError, OverflowError, ValidationError):
        rows, key, backwards = list(queryset.order_by(*order)[: size + 1]), None, False
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    has_next, has_previous = (True, more) if backwards else (more, key is not None)
    return Slice(
        rows,
        _text(rows[-1], order) if rows and has_next else "",
        _text(rows[0], order) if rows and has_previous else "",
    )


def _behind(order: Sequence[str], key: Sequence[Any]) -> Q:
    """Rows behind the key: (a, b) > (x, y) as a > x or (a = x and b > y)."""
    condition, same = Q(), Q()
    for name, value in zip(order, key, strict=True):
        bare, side = name.lstrip("-"), "lt" if name.startswith("-") else "gt"
        condition |= same & Q(**{f"{bare}__{side}": value})
        same &= Q(**{bare: value})
    first = order[0]
    bound = "lte" if first.startswith("-") else "gte"
    # The bound on the first column lets one index range begin where the page begins.
    return Q(**{f"{first.lstrip('-')}__{bound}": key[0]}) & condition


def _turned(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _text(row: Any, order: Sequence[str]) -> str:
    values = [_value(row, name.lstrip("-")) for name in order]
    octets = json.dumps(values, cls=_Exact).encode()
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")


class _Exact(DjangoJSONEncoder):
    """Django's encoder cuts times to milliseconds; a key needs all of them."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if hasattr(o, "isoformat") else super().default(o)


def _value(row: Any, name: str) -> Any:
    if isinstance(row, dict):
        return row[name]
    value: Any = row
    for part in name.split("__"):
        value = getattr(value, part)
    return value.pk if isinstance(value, Model) else value


def _key(text: str | None, order: Sequence[str]) -> list[Any] | None:
    if not text or len(text) > MOST_KEY_LENGTH:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, UnicodeError):
        return None
    plain = isinstance(values, list) and len(values) == len(order)
    return values if plain and all(map(_may_be_of_a_row, values)) else None


def _may_be_of_a_row(value: object) -> bool:
    """PostgreSQL's text has no NUL: asking for one is an error of the statement."""
    return isinstance(value, int) or (isinstance(value, str) and "\0" not in value)
