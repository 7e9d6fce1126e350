"""Forms of trust: the choice of policy, an entry of a list, a sealer, the dry run."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from django import forms

from mail.errors import BadAddress
from mail.policy.trust import ListKind, OnQuarantine, OnScannerAway
from mail.policy.trust_lists import canonical_subject
from panel.forms import LineField, PanelForm, VersionedForm
from panel.routes.forms import AddressField
from panel.trust.words import scanners_here
from routing.models import Domain, Route
from routing.models.trust import (
    HIGHEST_SCORE,
    LONGEST_QUARANTINE,
    LOWEST_SCORE,
    SHORTEST_QUARANTINE,
)
from routing.names import parse_route_address
from routing.route_csv import end_of_day
from routing.services.trust import SCORING_SCANNERS, TrustChoice
from tenants.errors import RouteRefused

REFUSE, FORWARD, HOLD = "refuse", "forward", "hold"
KINDS: Final = (
    (ListKind.BLOCK.value, "Block: refuse mail from it"),
    (ListKind.ALLOW.value, "Allow: let its mail in, where it is shown to be genuine"),
)
SCORES: Final = tuple(
    f"{scanner}_{what}_from"
    for scanner in SCORING_SCANNERS
    for what in ("refuse", "quarantine", "add_fields")
)
_NEVER: Final = "Empty: never."
_SURE: Final = f"In its own points; 15 is usual. {_NEVER}"
_SORT: Final = f"Your own mailbox can sort by it. {_NEVER}"
_PLAIN: Final = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


def _choice(label: str, *choices: tuple[str, str], hint: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(choices=choices, label=label, help_text=hint, widget=forms.RadioSelect)


def _score(label: str, hint: str) -> forms.FloatField:
    return forms.FloatField(
        required=False,
        min_value=LOWEST_SCORE,
        max_value=HIGHEST_SCORE,
        label=label,
        help_text=hint,
        widget=forms.TextInput(attrs={"inputmode": "decimal", **_PLAIN}),
    )


class JudgingFields(PanelForm):
    """What decides about a message: also what the dry run tries."""

    on_dmarc_reject = _choice(
        "DMARC fails, and the author’s domain asks to refuse such mail",
        (REFUSE, "Refuse it (550)"),
        (FORWARD, "Forward it with the failure said; most receivers refuse it then"),
    )
    on_dmarc_quarantine = _choice(
        "DMARC fails, and the author’s domain asks to quarantine it",
        (OnQuarantine.FORWARD.value, "Forward it with the failure said; the receiver decides"),
        (OnQuarantine.HOLD.value, "Hold it here, for you to look at"),
    )
    on_virus = _choice(
        "A scanner finds a virus", (REFUSE, "Refuse it (550)"), (HOLD, "Hold it here")
    )
    rspamd_refuse_from = _score("rspamd: refuse from this score on", _SURE)
    rspamd_quarantine_from = _score("rspamd: hold from this score on", _NEVER)
    rspamd_add_fields_from = _score(
        "rspamd: say the score in the header from this one on", f"It calls 6 likely. {_SORT}"
    )
    spamd_refuse_from = _score("SpamAssassin: refuse from this score on", _SURE)
    spamd_quarantine_from = _score("SpamAssassin: hold from this score on", _NEVER)
    spamd_add_fields_from = _score(
        "SpamAssassin: say the score in the header from this one on", f"It calls 5 likely. {_SORT}"
    )
    when_scanner_away = _choice(
        "A scanner does not answer",
        (OnScannerAway.ACCEPT.value, "Take mail without it"),
        (OnScannerAway.DEFER.value, "Ask the client to come again later (451)"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Asks of no scanner that does not run here; what was chosen for it stays."""
        super().__init__(*args, **kwargs)
        for name in SCORES:
            if name.partition("_")[0] not in scanners_here():
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for scanner in scanners_here():
            hold_name = f"{scanner}_quarantine_from"
            refuse, hold = cleaned.get(f"{scanner}_refuse_from"), cleaned.get(hold_name)
            if refuse is not None and hold is not None and hold >= refuse:
                self.add_error(hold_name, "Lower than the score from which on it is refused.")
        return cleaned

    def judging(self) -> dict[str, Any]:
        """What was said, as `TrustChoice` has it; call it on a valid form."""
        values = self.cleaned_data
        return {
            "refuses_dmarc_reject": values["on_dmarc_reject"] == REFUSE,
            "on_dmarc_quarantine": OnQuarantine(values["on_dmarc_quarantine"]),
            "refuses_viruses": values["on_virus"] == REFUSE,
            **{name: values[name] for name in SCORES if name in values},
            "when_scanner_away": OnScannerAway(values["when_scanner_away"]),
        }


class ChoiceForm(VersionedForm, JudgingFields):
    """All that a tenant chooses."""

    quarantine_days = forms.IntegerField(
        min_value=SHORTEST_QUARANTINE,
        max_value=LONGEST_QUARANTINE,
        label="Held mail is kept: days",
        help_text="Then it is deleted, and nobody is told.",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    sends_digest = forms.BooleanField(
        required=False, label="Tell me by mail, once a day, what is held"
    )
    greylists = forms.BooleanField(
        required=False,
        label="Greylisting: senders nobody here heard of are asked to come again (451)",
        help_text="Keeps much junk away, and delays the first mail of each stranger by minutes.",
    )

    def choice(self, before: TrustChoice) -> TrustChoice:
        """What is chosen now; call it on a valid form."""
        others = ("quarantine_days", "sends_digest", "greylists")
        chosen = {name: self.cleaned_data[name] for name in others}
        return replace(before, **self.judging(), **chosen)


class TrialForm(JudgingFields):
    """What the dry run tries, and how far back."""

    days = forms.IntegerField(
        min_value=1,
        max_value=90,
        label="Days back",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    field_order = ("days",)


def initial_of(choice: TrustChoice) -> dict[str, Any]:
    """A choice as the form shows it."""
    return {
        "on_dmarc_reject": REFUSE if choice.refuses_dmarc_reject else FORWARD,
        "on_dmarc_quarantine": choice.on_dmarc_quarantine.value,
        "on_virus": REFUSE if choice.refuses_viruses else HOLD,
        **{name: _number(getattr(choice, name)) for name in SCORES},
        "when_scanner_away": choice.when_scanner_away.value,
        "quarantine_days": choice.quarantine_days,
        "sends_digest": choice.sends_digest,
        "greylists": choice.greylists,
    }


def current_values(choice: TrustChoice) -> dict[str, object]:
    """A choice as people read it; its digest notices that somebody else changed it."""
    labels = {name: str(field.label) for name, field in ChoiceForm.base_fields.items()}
    return {labels[name]: _said(value) for name, value in initial_of(choice).items()}


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value not in ("", None) else "never"


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:g}"


class SubjectField(forms.CharField):
    """An address, a domain or a network, in its one form."""

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        try:
            return canonical_subject(text)
        except BadAddress as error:
            raise forms.ValidationError(
                f"Write an address, a domain or a network such as 192.0.2.0/24: {error}."
            ) from None


class ScopeField(AddressField):
    """A domain or a route of the tenant, or nothing: all his mail."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(parse=_scope, **kwargs)


def _scope(text: str) -> Domain | Route:
    """The domain or route that is meant. Raises ValidationError."""
    if "@" not in text:
        domain = Domain.objects.filter(name=_domain_name(text)).first()
        if domain is None:
            raise forms.ValidationError("You have no domain of this name.")
        return domain
    address = parse_route_address(text)
    found = Route.objects.filter(domain__name=address.domain, pattern_key=address.pattern_key)
    route = found.select_related("domain").first()
    if route is None:
        raise forms.ValidationError("You have no route for this address.")
    return route


def _domain_name(text: str) -> str:
    try:
        return parse_route_address(f"x@{text}").domain
    except RouteRefused:
        return ""


class EntryForm(PanelForm):
    """A new line of the lists."""

    kind = forms.ChoiceField(choices=KINDS, label="What to do", widget=forms.RadioSelect)
    subject = SubjectField(
        max_length=320,
        label="Address, domain or network",
        help_text="carol@author.example, author.example, .author.example for it and all below it, "
        "or 192.0.2.0/24.",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    scope = ScopeField(
        required=False,
        label="For mail to",
        help_text="One of your domains, or the address of a route. Empty: all your mail.",
    )
    last_day = forms.DateField(
        required=False,
        label="Last day",
        help_text="From the day after (UTC) it does not count any more. Empty: it stays.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    note = LineField(
        max_length=500, required=False, label="Note", help_text="Why, for you and your colleagues."
    )

    def clean_last_day(self) -> date | None:
        day: date | None = self.cleaned_data["last_day"]
        if day is not None and not 2000 <= day.year < 9000:
            raise forms.ValidationError("Name a day within the next ten years, or none.")
        return day

    @property
    def expires_at(self) -> datetime | None:
        """The end of the last day."""
        day: date | None = self.cleaned_data.get("last_day")
        return end_of_day(day) if day else None


class SearchForm(PanelForm):
    """What the lists are narrowed to."""

    q = forms.CharField(max_length=320, required=False, label="Begins with or contains")
    kind = forms.ChoiceField(
        required=False,
        label="List",
        choices=(("", "both"), (ListKind.BLOCK.value, "block"), (ListKind.ALLOW.value, "allow")),
    )


class SealerForm(PanelForm):
    """Whose seals are to count."""

    name = forms.CharField(
        max_length=300,
        label="Domain",
        help_text="The d= of the ARC-Seal field, such as google.com; each one by itself.",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    note = LineField(max_length=500, required=False, label="Note")
