"""The form of one policy, and the one that names a domain."""

from typing import Any, Final

from django import forms
from django.utils.html import format_html

from delivery.retention import KINDS
from mail.address import canonical_domain
from mail.errors import MailError
from mail.facts import LogLevel
from panel.forms import PanelForm, VersionedForm
from panel.keeping.words import FIELDS, LEVELS, days_text, level_name
from panel.keeping.words import KINDS as KIND_WORDS
from routing.models import Domain, LogPolicy
from routing.services.logpolicy import MOST_DAYS, SHORTEST_AUDIT_DAYS, Keeping

_HINTS: Final = {
    "message_days": "0: nothing of a message is ever written. Failed mail is shown as long.",
    "refused_days": "0: refusals are never written.",
    "attempt_days": "0: what became of a delivery is said, but not each attempt and reply.",
    "content_days": "Only with the last level. 0: content is never kept.",
    "audit_days": "Who changed what. At least 90.",
}


def _levels() -> list[tuple[int, Any]]:
    return [
        (level.value, format_html("<strong>{}</strong>: {}", name, text))
        for level, (name, text) in LEVELS.items()
    ]


def _days(name: str, label: str, least: int = 0) -> forms.IntegerField:
    return forms.IntegerField(
        min_value=least,
        max_value=MOST_DAYS,
        label=f"{label}: days",
        help_text=_HINTS[name],
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )


class KeepingForm(VersionedForm):
    """What a tenant, or one of his domains, keeps."""

    level = forms.TypedChoiceField(
        choices=_levels, coerce=int, label="What is written down", widget=forms.RadioSelect
    )
    message_days = _days("message_days", "Accepted and delivered mail")
    refused_days = _days("refused_days", "Refused mail")
    attempt_days = _days("attempt_days", "Attempts to deliver")
    content_days = _days("content_days", "Content of failed mail")
    audit_days = _days("audit_days", "Audit", SHORTEST_AUDIT_DAYS)

    def __init__(self, *args: Any, policy: LogPolicy, for_domain: bool, **kwargs: Any) -> None:
        initial = {name: getattr(policy, name) for name in ("level", *FIELDS.values())}
        super().__init__(*args, current=current_values(policy), initial=initial, **kwargs)
        if for_domain:
            del self.fields["audit_days"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("level") == LogLevel.CONTENT and cleaned.get("content_days") == 0:
            self.add_error(
                "content_days", "Say for how many days, or choose a level without content."
            )
        return cleaned

    def keeping(self) -> Keeping:
        """The values; call it on a valid form."""
        names = [name for name in FIELDS.values() if name in self.fields]
        days = {name: self.cleaned_data[name] for name in names}
        return Keeping(level=LogLevel(self.cleaned_data["level"]), **days)


def current_values(policy: LogPolicy) -> dict[str, object]:
    """A policy as people read it; its digest notices that somebody else changed it."""
    kinds = {KIND_WORDS[kind]: days_text(policy, kind) for kind in KINDS}
    days = ", ".join(str(getattr(policy, name)) for name in FIELDS.values())
    return {"What is written down": level_name(policy.level), **kinds, "Days in order": days}


class DomainForm(PanelForm):
    """Which domain gets preferences of its own."""

    domain = forms.CharField(
        max_length=300,
        label="Domain",
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false"}),
    )

    def clean_domain(self) -> Domain:
        typed = self.cleaned_data["domain"]
        try:
            name = canonical_domain(typed)
        except (MailError, ValueError):
            name = typed.lower()
        domain = Domain.objects.filter(name=name).first()
        if domain is None:
            raise forms.ValidationError("You have no domain of this name.")
        return domain
