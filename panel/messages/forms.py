"""The search in the log: one box, and filters. A GET form: the address is the state."""

from typing import Any, Final

from django import forms

from delivery.logsearch import DIRECTIONS, LONGEST_TYPED, STATES, LogQuery
from panel.forms import PanelForm

STATE_WORDS: Final = {
    "accepted": "accepted, on its way",
    "deferred": "deferred, tried again later",
    "returned": "returned after delivery",
    "dropped": "dropped by a paused route",
    "deleted": "cancelled",
}
DIRECTION_WORDS: Final = {
    "forward": "forwarded",
    "return": "returns coming back",
    "send": "sent by you",
    "notice": "notices of ours",
}
_STATES: Final = [("", "any"), *((one, STATE_WORDS.get(one, one)) for one in STATES)]
_DIRECTIONS: Final = [("", "any"), *((one, DIRECTION_WORDS[one]) for one in DIRECTIONS)]
_SIDES: Final = [("", "on either side"), ("to", "as recipient"), ("from", "as sender or author")]


class SearchForm(PanelForm):
    """What is asked of the log; a wrong value is said at its field, and nothing is searched."""

    q = forms.CharField(
        max_length=LONGEST_TYPED,
        required=False,
        label="Address, domain or trace id",
        help_text="hi@example.org, example.org, or how it begins: sal*",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    side = forms.ChoiceField(choices=_SIDES, required=False, label="It stands")
    state = forms.ChoiceField(choices=_STATES, required=False, label="State")
    direction = forms.ChoiceField(choices=_DIRECTIONS, required=False, label="Direction")
    reason = forms.CharField(max_length=200, required=False, label="Words of the reason")
    since = forms.DateField(
        required=False, label="From day (UTC)", widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        required=False, label="To day (UTC)", widget=forms.DateInput(attrs={"type": "date"})
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", "This day lies before the first one.")
        return cleaned

    def query(self) -> LogQuery:
        """What was asked; call it on a valid form."""
        given = self.cleaned_data
        return LogQuery(
            typed=given["q"],
            side=given["side"],
            state=given["state"],
            direction=given["direction"],
            reason=given["reason"],
            since=given["since"],
            until=given["until"],
        )

    @property
    def is_filtered(self) -> bool:
        """Whether one of the filters below the box is set."""
        return any(self.data.get(name) for name in self.fields if name != "q")
