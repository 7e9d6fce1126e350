"""Forms of a tenant's domains."""

from typing import Any

from django import forms

from mail.address import canonical_domain
from mail.errors import BadDomain
from panel.domains.standing import CHOICES
from panel.forms import LineField, PanelForm, VersionedForm


class AddForm(PanelForm):
    """The first step: a name."""

    name = forms.CharField(
        max_length=300,
        label="Domain",
        help_text="For example example.org. Subdomains are domains of their own.",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )


class FilterForm(PanelForm):
    """What the list of domains shows: the address is the state."""

    q = forms.CharField(max_length=253, required=False, label="Name or note")
    state = forms.ChoiceField(choices=CHOICES, required=False, label="State")


class NoteForm(VersionedForm):
    """A line about a domain."""

    note = LineField(
        max_length=500,
        required=False,
        label="Note",
        help_text="For you and the other members; one line.",
    )


class RemoveForm(PanelForm):
    """The name typed again."""

    typed = forms.CharField(
        max_length=300,
        label="Name of the domain",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["typed"].help_text = f"Type {name} to remove it."

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        try:
            label = canonical_domain(typed)
        except BadDomain:
            label = ""
        if label != self.name:
            raise forms.ValidationError(f"This is not {self.name}: nothing was removed.")
        return typed


class RevokeForm(PanelForm):
    """The selector typed again; the service compares it."""

    typed = forms.CharField(
        max_length=63,
        label="Selector of the key",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, selector: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["typed"].help_text = f"Type {selector} to destroy it."
