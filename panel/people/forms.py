"""Forms about tenants and people."""

from collections.abc import Iterable
from typing import Any, Final

from django import forms

from panel.access import Role
from panel.forms import PanelForm, VersionedForm
from tenants.models import Membership
from tenants.people import WHAT_A_ROLE_MAY, roles_within

# The kinds of entries an audit has, by how their action begins.
KINDS: Final = (
    ("", "everything"),
    ("domain.", "domains"),
    ("route.", "routes"),
    ("destination.", "destinations"),
    ("dkim_key.", "DKIM keys"),
    ("credential.", "SMTP credentials"),
    ("token.", "API tokens"),
    ("log_policy.", "logging"),
    ("trust.", "trust"),
    ("member.", "people"),
    ("tenant.", "the tenant"),
    ("support.", "support"),
)


def role_choices(by: Membership.Role) -> list[tuple[str, str]]:
    """The roles that a member in the role `by` may give, with what each may do."""
    return [(role.value, f"{role.value}: {WHAT_A_ROLE_MAY[role]}") for role in roles_within(by)]


class NewTenantForm(PanelForm):
    name = forms.CharField(
        max_length=120, required=False, help_text="As people see it. It can be changed later."
    )
    slug = forms.CharField(
        max_length=40,
        label="Short name",
        help_text="Stands in addresses of pages and in user names; cannot be changed. Lower-case "
        "letters, digits and hyphens: two-friends.",
    )


class NameForm(VersionedForm):
    name = forms.CharField(max_length=120, required=False, help_text="As people see it.")


class InviteForm(PanelForm):
    email = forms.CharField(
        max_length=254,
        label="E-mail address",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text="They get a link that works for 7 days. The mail names neither you nor the "
        "tenant; the page behind the link does.",
    )
    role = forms.ChoiceField(widget=forms.RadioSelect, label="What they may do")

    def __init__(self, *args: Any, by: Membership.Role, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = role_choices(by)  # type: ignore[attr-defined]
        self.fields["role"].initial = Role.EDITOR


class RoleForm(VersionedForm):
    role = forms.ChoiceField(widget=forms.RadioSelect, label="What they may do")

    def __init__(self, *args: Any, by: Membership.Role, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = role_choices(by)  # type: ignore[attr-defined]


class HeirForm(PanelForm):
    heir = forms.TypedChoiceField(coerce=int, label="The new owner", widget=forms.RadioSelect)

    def __init__(self, *args: Any, others: Iterable[Membership], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(one.user_id, f"{one.user.email} ({one.role})") for one in others]
        self.fields["heir"].choices = choices  # type: ignore[attr-defined]


class ReasonForm(PanelForm):
    reason = forms.CharField(
        max_length=200, required=False, help_text="For the audit; nobody else sees it."
    )


class TypedSlugForm(PanelForm):
    typed = forms.CharField(
        max_length=60,
        label="Type the short name of the tenant",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )


class AcceptAsNewForm(PanelForm):
    name = forms.CharField(
        max_length=120,
        required=False,
        label="Your name",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        help_text="As the other members see it. May stay empty.",
    )
    password = forms.CharField(
        max_length=256,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="12 characters at least; a few words that nobody would put together are best.",
    )


class DeclineForm(PanelForm):
    never_again = forms.BooleanField(
        required=False, label="Never write to this address again, whoever asks for it"
    )


class AuditFilterForm(PanelForm):
    """A GET form: what it says is in the address."""

    kind = forms.ChoiceField(choices=KINDS, required=False, label="About")
    who = forms.CharField(max_length=254, required=False, label="Who", help_text="or how it begins")
    subject = forms.CharField(
        max_length=253, required=False, label="What", help_text="or how it begins"
    )
    since = forms.DateField(
        required=False, label="From (UTC)", widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        required=False, label="Up to (UTC)", widget=forms.DateInput(attrs={"type": "date"})
    )
