"""Forms of the account. What a person proves or chooses is never sent back in a page."""

from typing import Any

from django import forms

from panel.forms import PanelForm

LONGEST_PASSWORD = 1000


class PasswordField(forms.CharField):
    """A password: not stripped, and bounded, because hashing it takes time."""

    def __init__(self, *, new: bool = False, **more: Any) -> None:
        attrs = {"autocomplete": "new-password" if new else "current-password"}
        more.setdefault("label", "New password" if new else "Password")
        super().__init__(
            strip=False,
            max_length=LONGEST_PASSWORD,
            widget=forms.PasswordInput(attrs=attrs),
            **more,
        )


class CodeField(forms.CharField):
    """Six digits of an authenticator, or a recovery code."""

    def __init__(self, **more: Any) -> None:
        attrs = {"autocomplete": "one-time-code", "spellcheck": "false", "autocapitalize": "none"}
        more.setdefault("label", "Code")
        super().__init__(max_length=40, widget=forms.TextInput(attrs=attrs), **more)

    def clean(self, value: Any) -> str:
        return "".join(super().clean(value).split())


class AddressField(forms.EmailField):
    """An e-mail address; the service says whether a person can have it."""

    def __init__(self, *, autocomplete: str = "email", **more: Any) -> None:
        more.setdefault("label", "E-mail address")
        # HTML knows no user name in a field for mail addresses; password managers look for one.
        is_name = autocomplete == "username"
        attrs = {"inputmode": "email", "autocapitalize": "none", "spellcheck": "false"}
        kind = forms.TextInput if is_name else forms.EmailInput
        widget = kind(attrs={"autocomplete": autocomplete, **(attrs if is_name else {})})
        super().__init__(max_length=254, widget=widget, **more)


class SignInForm(PanelForm):
    """Address and password; whatever was typed as an address is looked up, so that all answers are
    the same."""

    email = AddressField(autocomplete="username")
    password = PasswordField()
    next = forms.CharField(widget=forms.HiddenInput, required=False)


class CodeForm(PanelForm):
    code = CodeField(help_text="Six digits from your authenticator, or one of your recovery codes.")


class AskForm(PanelForm):
    """The address that a mail shall go to."""

    email = AddressField()


class PasswordForm(PanelForm):
    """A new password, typed once: browsers and password managers show it."""

    password = PasswordField(
        new=True,
        help_text="At least 12 characters. A few words are easier to keep than one strange one.",
    )


class SignUpForm(PasswordForm):
    name = forms.CharField(
        label="Your name",
        max_length=120,
        required=False,
        help_text="Others in your tenants see it. You may leave it out.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    field_order = ("name", "password")


class ChangePasswordForm(PasswordForm):
    current = PasswordField(label="Password now")
    field_order = ("current", "password")


class NameForm(PanelForm):
    name = forms.CharField(
        label="Your name",
        max_length=120,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )


class ProveForm(PanelForm):
    """Proves again who one is, by password: for whoever has no second factor."""

    password = PasswordField()
    next = forms.CharField(widget=forms.HiddenInput, required=False)


class ProveByCodeForm(CodeForm):
    next = forms.CharField(widget=forms.HiddenInput, required=False)


class DeleteForm(PanelForm):
    email = forms.CharField(
        label="Type your e-mail address",
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
