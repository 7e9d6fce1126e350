"""What templates say: addresses inside the open tenant, moments, numbers, safe text."""

from datetime import UTC, date, datetime
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mail.address import unicode_domain as u_labels
from mail.errors import MailError
from mail.trace import printable
from panel.nav import NavItem, items_of

register = template.Library()

MOST_SHOWN: Final = 998


@register.simple_tag(takes_context=True)
def to(context: Any, name: str, *args: object) -> str:
    """The address of a page of the open tenant: `{% to 'route' route.pk %}`."""
    return str(context["request"].place.url(name, *args))


@register.simple_tag(takes_context=True)
def may(context: Any, role: str) -> bool:
    """Whether the member may do what `role` may: `{% may 'editor' as can_edit %}`."""
    return bool(context["request"].place.may(role))


@register.simple_tag(takes_context=True)
def nav(context: Any) -> list[NavItem]:
    """The tenant's sections, the open one marked."""
    return items_of(context["request"].place)


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A moment for people and for machines."""
    if at is None:
        return "–"
    at = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%-d %b %Y, %H:%M} UTC"
    )


@register.filter
def day(at: datetime | date | None) -> SafeString | str:
    """A day for people and for machines."""
    if at is None:
        return "–"
    return format_html('<time datetime="{}">{}</time>', f"{at:%Y-%m-%d}", f"{at:%-d %b %Y}")


@register.filter
def number(value: int | None) -> str:
    """A whole number with thin spaces: 1 234 567."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


@register.filter
def octets(value: int | None) -> str:
    """A size as people say it."""
    if value is None:
        return "–"
    size = float(value)
    for unit in ("octets", "kB", "MB"):
        if size < 1000 or unit == "MB":
            break
        size /= 1000
    return f"{int(size)} octets" if unit == "octets" else f"{size:.1f} {unit}"


@register.filter
def unicode_domain(name: str) -> str:
    """A domain as people write it (U-labels); as it is where it has none."""
    try:
        return u_labels(name)
    except MailError:
        return name


@register.filter
def visible(text: object) -> str:
    """One line in which no control, line end or change of direction hides."""
    return printable(str(text), MOST_SHOWN)


@register.filter
def lines(text: str) -> list[str]:
    """The lines of a text."""
    return text.split("\n")
