"""Signing in to the admin sites: e-mail address, password and code, all on one page."""

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.db import transaction
from django_otp import devices_for_user
from django_otp.admin import OTPAdminAuthenticationForm
from django_otp.models import Device

from tenants.audit import record_platform
from tenants.models import User


class SignInForm(OTPAdminAuthenticationForm):
    """Takes the person's only device when none is chosen; never sends the password back."""

    otp_token = forms.CharField(
        label="Code",
        required=False,
        help_text="Six digits from your authenticator.",
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "size": 8}
        ),
    )
    otp_error_messages = OTPAdminAuthenticationForm.otp_error_messages | {
        "token_required": "Type the code that your authenticator shows.",
        "invalid_token": "This code is not right, or was used already: wait for the next one.",
        "device_required": "You have no second factor yet: an operator makes one by "
        "`manage.py staff otp`.",
    }

    def _chosen_device(self, user: User) -> Device | None:
        chosen = super()._chosen_device(user)
        if chosen is not None:
            return chosen
        # One that is locked, because the count of failures has to be right.
        devices = list(devices_for_user(user, for_verify=True))
        return devices[0] if len(devices) == 1 else None

    def _update_form(self, user: User) -> None:
        self.fields["otp_device"].widget.choices = self.device_choices(user)
        self.has_choice = len(self.fields["otp_device"].widget.choices) > 2


class OwnPasswordForm(AdminPasswordChangeForm):
    """A change of one's own password, written to the audit."""

    def save(self, commit: bool = True) -> Any:
        with transaction.atomic():
            user = super().save(commit)
            record_platform("staff.password", user.email, actor=user.email)
        return user
