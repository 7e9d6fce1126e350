"""What every form of the panel has: one way to look, and a way to notice that somebody was faster.

Templates: `parts/form.html` for a whole form, `parts/field.html` for label, hint, control and error
of one field. No field is written by hand.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.forms.renderers import TemplatesSetting
from django.http import QueryDict

from tenants.errors import TenancyError
from tenants.names import one_line

CHANGED_MEANWHILE = (
    "Somebody changed this while you were editing it. What you typed is still here; save again to "
    "put it in place of what is there now."
)


# Django's words for what every form refuses, said as the rest of the pages says things.
_LIMITS = {
    "min_value": "At least %(limit_value)s.",
    "max_value": "At most %(limit_value)s.",
    "max_length": "At most %(limit_value)s characters; these are %(show_value)s.",
}
_REQUIRED = forms.Field.default_error_messages["required"]


class PanelRenderer(TemplatesSetting):
    """Django's widgets in the panel's own form and field."""

    form_template_name = "parts/form.html"
    field_template_name = "parts/field.html"


class PanelForm(forms.Form):
    """A form of the panel; text is stripped, and labels end without a colon."""

    default_renderer = PanelRenderer
    use_required_attribute = False  # the server's words are better than the browser's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            _speak_plainly(field)

    def refuse(self, field: str | None, error: Exception) -> None:
        """Show why a service refused, at the field it is about."""
        self.add_error(field if field in self.fields else None, str(error))


def _speak_plainly(field: forms.Field) -> None:
    words = field.error_messages
    if words.get("required") == _REQUIRED:
        choice = isinstance(field, forms.ChoiceField)
        words["required"] = "Choose one." if choice else "Fill this in."
    for code, text in _LIMITS.items():
        words.setdefault(code, text)


class LineField(forms.CharField):
    """Text of one line: what could become a header field or a line of a log is refused here."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return one_line(text, "text")
        except TenancyError as error:
            raise forms.ValidationError(str(error)) from None


class VersionedForm(PanelForm):
    """A form over values that others may change meanwhile.

    `current` maps labels to what is there now, as people read it. The page carries a digest of it;
    where that does not fit any more, the form says what is there now and asks to save again.
    """

    version = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, current: Mapping[str, object], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.current = {label: str(value) for label, value in current.items()}
        self.initial["version"] = version_of(self.current)
        self.changed_meanwhile: dict[str, str] = {}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        seen = version_of(self.current)
        if cleaned.get("version") != seen:
            self.changed_meanwhile = self.current
            self.add_error(None, CHANGED_MEANWHILE)
            data = cast(QueryDict, self.data).copy()
            data[self.add_prefix("version")] = seen  # the next try is against what is shown now
            self.data = data
        return cleaned


def version_of(values: Mapping[str, object]) -> str:
    """A short digest of what a page showed."""
    text = "\x00".join(f"{label}\x01{value}" for label, value in values.items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]
