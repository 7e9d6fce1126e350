"""What the templates of the admin sites need beyond Django's own tags."""

from collections.abc import Iterable, Iterator
from typing import Any

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.filter
def labelled(results: Iterable[Iterable[str]], headers: list[dict[str, Any]]) -> Iterator[Any]:
    """Rows of a change list whose cells name their column, for screens too narrow for a table."""
    for result in results:
        yield [_labelled(cell, head) for cell, head in zip(result, headers, strict=False)]


def _labelled(cell: str, head: dict[str, Any]) -> SafeString:
    is_box = "action-checkbox" in head.get("class_attrib", "")
    label = "Pick" if is_box else escape(str(head["text"]).capitalize())
    # The cells are Django's own safe markup, and each begins with its tag.
    tag, rest = cell[:3], cell[3:]
    scope = ' scope="row"' if tag == "<th" else ""
    return mark_safe(f'{tag}{scope} data-label="{label}"{rest}')  # noqa: S308
