"""One of the tenant's domains in a form: chosen from a list, and typed where the list is long.

A list of two thousand names would be larger than the rest of the page, and nobody would read it.
"""

from typing import Any, Final

from django import forms

from mail.address import canonical_domain, unicode_domain
from mail.errors import MailError
from routing.models import Domain

MOST_LISTED: Final = 250
MOST_LETTERS: Final = 8_000
_PLAIN: Final = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


class TypedDomain(forms.CharField):
    """The name of a domain of the open tenant, or nothing."""

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        name = _canonical(text)
        if name and not Domain.objects.filter(name=name).exists():
            raise forms.ValidationError("You have no domain of this name.")
        return name


def domain_field(*, empty: str, help_text: str = "") -> forms.Field:
    """A field that gives the A-label of a domain, or nothing; `empty` says what nothing means."""
    names = list(Domain.objects.order_by("name").values_list("name", flat=True)[: MOST_LISTED + 1])
    if len(names) <= MOST_LISTED and sum(map(len, names)) <= MOST_LETTERS:
        choices = [("", empty), *((name, unicode_domain(name)) for name in names)]
        return forms.ChoiceField(
            choices=choices, required=False, label="Domain", help_text=help_text
        )
    return TypedDomain(
        required=False,
        max_length=300,
        label="Domain",
        help_text=f"{help_text} Empty: {empty}.".strip(),
        widget=forms.TextInput(attrs=_PLAIN),
    )


def _canonical(text: str) -> str:
    try:
        return canonical_domain(text) if text else ""
    except (MailError, ValueError):
        return text.lower()
