"""What is asked of the list, and which of it somebody chose."""

from typing import Any, Final

from django import forms

from delivery.quarantine_selectors import Quarantined
from panel.forms import LineField, PanelForm
from panel.paging import PAGE_ROWS

RELEASE, DELETE = "release", "delete"
MOST_ID: Final = 2**63 - 1


class FilterForm(PanelForm):
    """A GET form: the address is the state."""

    author = LineField(max_length=200, required=False, label="Author or reverse-path")
    recipient = LineField(max_length=200, required=False, label="To")
    reason = LineField(max_length=200, required=False, label="Words of the reason")

    def wanted(self) -> Quarantined:
        """What was asked; call it on a valid form."""
        return Quarantined(**self.cleaned_data)


class ChosenForm(PanelForm):
    """The ticked rows of one page, and what shall become of them."""

    action = forms.ChoiceField(choices=[(RELEASE, RELEASE), (DELETE, DELETE)])
    sure = forms.CharField(required=False)
    chosen = forms.TypedMultipleChoiceField(coerce=int, required=False)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        ticked = [one for one in data.getlist("chosen") if one.isascii() and one.isdigit()]
        ids = dict.fromkeys(str(min(int(one[:19]), MOST_ID)) for one in ticked[:PAGE_ROWS])
        self.fields["chosen"].choices = [(one, one) for one in ids]  # type: ignore[attr-defined]
