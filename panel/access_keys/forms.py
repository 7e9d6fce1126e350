"""Forms for tokens and credentials."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django import forms

from panel.domain_choice import domain_field
from panel.forms import LineField, PanelForm
from routing.services.tokens import Scope

LONGEST: Final = timedelta(days=5 * 366)


class ExpiringForm(PanelForm):
    """A label, and a last day."""

    label = LineField(
        max_length=80, label="Label", help_text="What will use it, for you to recognise it later."
    )
    last_day = forms.DateField(
        required=False,
        label="Last day",
        help_text="From the day after it is useless. Empty: until it is revoked.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    def __init__(self, *args: Any, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.today = today

    def clean_last_day(self) -> date | None:
        day: date | None = self.cleaned_data["last_day"]
        if day is not None and not self.today <= day <= self.today + LONGEST:
            raise forms.ValidationError("Choose a day from today on, within five years.")
        return day

    @property
    def expires_at(self) -> datetime | None:
        """The end of the last day, UTC."""
        day = self.cleaned_data.get("last_day")
        return datetime.combine(day + timedelta(days=1), time(), UTC) if day else None


class TokenForm(ExpiringForm):
    """A new API token."""

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        label="It may",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one thing that the token may do."},
    )
    field_order = ("label", "scopes", "last_day")


class CredentialForm(ExpiringForm):
    """A new SMTP credential."""

    address = LineField(
        max_length=320,
        required=False,
        label="Only this address",
        help_text="Leave it empty to let it send as every address of the domain.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["domain"] = domain_field(
            empty="all domains of this tenant", help_text="Which of your domains it may send for."
        )
        self.order_fields(("label", "domain", "address", "last_day"))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("address"):
            # An address names its domain.
            cleaned["domain"] = ""
        return cleaned
