"""What staff may type. Forms read and tidy; whether it can be is the services' to say."""

from typing import Any

from django import forms

from mail.facts import RouteMode
from ops.accounts import LONGEST_REASON
from ops.admin.base import ServiceForm
from ops.grants import LONGEST_GRANT
from routing.models import Domain, Route
from tenants.errors import DestinationRefused
from tenants.models import Tenant

WIDE = {"size": 50}
MINUTES = (15, 30, int(LONGEST_GRANT.total_seconds()) // 60)


class StandingForm(ServiceForm):
    """Suspend a tenant, or let the mail flow again."""

    standing = forms.ChoiceField(
        choices=(
            (Tenant.Standing.ACTIVE, "active: mail flows"),
            (Tenant.Standing.SUSPENDED, "suspended: clients are asked to try later (450)"),
            (Tenant.Standing.ABUSIVE, "suspended for abuse: clients are refused (550)"),
        )
    )
    reason = forms.CharField(
        max_length=200,
        help_text="Written to the audit, which the tenant reads.",
        widget=forms.TextInput(attrs=WIDE),
    )

    class Meta:
        model = Tenant
        fields = ("standing",)


class ReasonForm(forms.Form):
    """Why support changes a person's account."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        help_text="Written to the audit of the platform. For example: “Ticket 4711: lost his "
        "phone, proved by a letter.”",
        widget=forms.TextInput(attrs={"size": 60, "autofocus": True}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})


class AddDomainForm(ServiceForm):
    """A domain for the tenant; he then proves it by DNS."""

    domain = forms.CharField(
        max_length=253, help_text="For example example.org.", widget=forms.TextInput(attrs=WIDE)
    )
    vouched = forms.BooleanField(
        label="I vouch for it",
        required=False,
        help_text="Verified by the operator's word, without the proof in the DNS. It is never "
        "looked for later.",
    )

    class Meta:
        model = Domain
        fields = ()


class AddRouteForm(ServiceForm):
    """A route of the tenant."""

    address = forms.CharField(
        max_length=320,
        help_text="For example sales@example.org, or *@example.org for all other addresses.",
        widget=forms.TextInput(attrs=WIDE),
    )
    goes_to = forms.CharField(
        label="Goes to",
        help_text="One address a line. Each owner is asked before anything is forwarded.",
        widget=forms.Textarea(attrs={"rows": 4, "cols": 50}),
    )
    confirmed = forms.BooleanField(
        label="The owners agreed",
        required=False,
        help_text="The operator's word instead of the confirmation by mail.",
    )
    note = forms.CharField(max_length=500, required=False, widget=forms.TextInput(attrs=WIDE))
    refused_fields = {DestinationRefused: "goes_to"}

    class Meta:
        model = Route
        fields = ()

    def clean_goes_to(self) -> list[str]:
        return self.cleaned_data["goes_to"].split()


class RouteModeForm(ServiceForm):
    """On, or paused in one of four ways."""

    class Meta:
        model = Route
        fields = ("mode",)

    def wanted_mode(self) -> RouteMode:
        return RouteMode(self.cleaned_data["mode"])


class AccessForm(forms.Form):
    """Why a member of staff looks into a tenant, and for how long."""

    reason = forms.CharField(
        max_length=500,
        help_text="The tenant reads this in his audit. For example: “Ticket 4711: mail to hi@ "
        "is missing.”",
        widget=forms.TextInput(attrs={"size": 60, "autofocus": True}),
    )
    minutes = forms.TypedChoiceField(
        label="For",
        coerce=int,
        choices=[(n, f"{n} minutes") for n in MINUTES],
        initial=MINUTES[-1],
    )
    next = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
