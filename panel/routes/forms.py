"""Forms of routes. They read what people type; whether it can be is the services' to say.

Addresses are read by the parsers of the wire (mail/address.py, routing/names.py) and no others.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

from django import forms

from mail.address import Address, parse_address, parse_reverse_path
from mail.errors import BadAddress
from mail.facts import HELD_DAYS, RouteMode
from panel.domain_choice import domain_field
from panel.forms import LineField, PanelForm, VersionedForm
from routing.listing import Wanted
from routing.names import parse_destination, parse_route_address
from routing.route_csv import MOST_LINES, MOST_OCTETS, end_of_day
from routing.services.saving import MOST_DESTINATIONS
from tenants.errors import RouteRefused

_PLAIN: Final = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
_MOST_ADDRESS: Final = 400
MODES: Final = (
    (RouteMode.ON.value, "on: mail is forwarded"),
    (RouteMode.REFUSE.value, "paused: refuse (550), whoever writes is told at once"),
    (RouteMode.DEFER.value, "paused: try later (450), mail waits where it comes from"),
    (
        RouteMode.HOLD.value,
        f"paused: hold, mail is kept here until you resume, {HELD_DAYS} days at most",
    ),
    (RouteMode.DROP.value, "paused: accept and drop, nobody is told and nothing is kept"),
)


class AddressField(forms.CharField):
    """An address as `parse` reads it; what it refuses is said in its own words."""

    def __init__(self, *, parse: Callable[[str], Any], **kwargs: Any) -> None:
        self.parse = parse
        kwargs.setdefault("widget", forms.TextInput(attrs=_PLAIN))
        super().__init__(max_length=_MOST_ADDRESS, strip=False, **kwargs)

    def to_python(self, value: Any) -> Any:
        text = str(super().to_python(value) or "").strip(" ")
        if text in self.empty_values:
            return text
        self.run_validators(text)
        try:
            return self.parse(text)
        except (RouteRefused, BadAddress) as error:
            words = str(error)
            raise forms.ValidationError(words[:1].upper() + words[1:].rstrip(".") + ".") from None

    def run_validators(self, value: Any) -> None:
        if isinstance(value, str):
            super().run_validators(value)


class DestinationsField(forms.CharField):
    """One destination a line; each bad one is named."""

    widget = forms.Textarea(attrs={"rows": 4, **_PLAIN})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MOST_DESTINATIONS * _MOST_ADDRESS, strip=False, **kwargs)

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value)
        found: list[str] = []
        problems: list[str] = []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip(" \r"):
                continue
            try:
                found.append(parse_destination(line.removesuffix("\r")))
            except RouteRefused as error:
                problems.append(f"Line {number}: {error}")
        if problems:
            raise forms.ValidationError(problems)
        if not found:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return found


class RouteFields(PanelForm):
    """What a route has besides its address."""

    destinations = DestinationsField(
        label="Goes to",
        help_text=f"One address a line, {MOST_DESTINATIONS} at most. Each owner is asked by mail "
        "before anything is forwarded to him.",
        error_messages={"required": "Name at least one address that mail goes to."},
    )
    note = LineField(
        max_length=500,
        required=False,
        label="Note",
        help_text="For you and your colleagues; nobody else sees it.",
    )
    last_day = forms.DateField(
        required=False,
        label="Last day",
        help_text="From the day after (UTC) the address is unknown. Empty: it stays.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    @property
    def expires_at(self) -> datetime | None:
        """The end of the last day."""
        day: date | None = self.cleaned_data.get("last_day")
        return end_of_day(day) if day else None

    def clean_last_day(self) -> date | None:
        day: date | None = self.cleaned_data["last_day"]
        if day is not None and not 2000 <= day.year < 9000:
            raise forms.ValidationError("Name a day within the next ten years, or none.")
        return day


class RouteForm(RouteFields):
    """A new route."""

    address = AddressField(
        parse=lambda text: parse_route_address(text).text,
        label="Address",
        help_text="For example hi@example.org. A * stands for anything: sales-*@example.org, or "
        "*@example.org for all addresses that have no route of their own.",
    )
    field_order = ("address", "destinations", "note", "last_day")


class RouteEditForm(VersionedForm, RouteFields):
    """A route that is there; its address stays."""

    mode = forms.ChoiceField(choices=MODES, label="State", widget=forms.RadioSelect)
    field_order = ("destinations", "mode", "note", "last_day")


class PauseForm(PanelForm):
    """How a paused route answers."""

    mode = forms.ChoiceField(
        choices=MODES[1:],
        label="Meanwhile its mail is",
        widget=forms.RadioSelect,
        initial=RouteMode.DEFER.value,
    )


class FilterForm(PanelForm):
    """What the list shows: a GET form, the address is the state."""

    q = LineField(max_length=200, required=False, label="Search")
    state = forms.ChoiceField(
        required=False,
        label="State",
        choices=(
            ("", "all but the trash"),
            (Wanted.ON.value, "on"),
            (Wanted.PAUSED.value, "paused"),
            (Wanted.UNCONFIRMED.value, "not confirmed"),
            (Wanted.EXPIRED.value, "expired"),
            (Wanted.TRASH.value, "in the trash"),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["domain"] = domain_field(empty="all")
        self.order_fields(("q", "domain", "state"))


class ImportForm(PanelForm):
    """CSV, as a file or as text."""

    file = forms.FileField(
        required=False,
        label="A CSV file",
        help_text=f"UTF-8, {MOST_LINES:,} lines and {MOST_OCTETS // 1_000_000} MB at most.",
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or its text",
        widget=forms.Textarea(attrs={"rows": 8, **_PLAIN}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        upload = cleaned.get("file")
        if upload is not None and upload.size > MOST_OCTETS:
            self.add_error("file", "This is more than 1 MB: divide it into several files.")
        elif upload is not None:
            cleaned["text"] = self._decoded(upload.read())
        elif not (cleaned.get("text") or "").strip():
            self.add_error("text", "Choose a file, or put its text here.")
        return cleaned

    def _decoded(self, octets: bytes) -> str:
        try:
            return octets.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = octets[: error.start].count(b"\n") + 1
            self.add_error("file", f"Line {line} is not UTF-8: save the file as “CSV UTF-8”.")
            return ""


class TryForm(PanelForm):
    """A message that somebody might send: a GET form that changes nothing."""

    address = AddressField(parse=parse_address, label="Mail to")
    author = AddressField(
        parse=parse_address,
        required=False,
        label="Written by",
        help_text="The address in the From field. Empty: somebody unknown.",
    )
    reverse_path = AddressField(
        parse=parse_reverse_path,
        required=False,
        label="Reverse-path",
        help_text="The envelope's sender. Empty: the same as the author. <> is a bounce.",
    )

    @property
    def recipient(self) -> Address:
        address: Address = self.cleaned_data["address"]
        return address


class Confirm(PanelForm):
    """A button and nothing else."""


def typed_lines(addresses: list[str]) -> str:
    """Destinations as the form shows them."""
    return "\n".join(addresses)
