"""`manage.py staff`: members of staff and their second factors."""

from __future__ import annotations

import base64
import io
import re

import pytest
from django.core.management import CommandError, call_command
from django_otp.oath import totp

from tenants.models import PlatformAuditEntry, User

pytestmark = pytest.mark.django_db


def staff(*arguments: str) -> str:
    out = io.StringIO()
    call_command("staff", *arguments, stdout=out)
    return out.getvalue()


def test_what_the_commands_print_is_enough_to_sign_in(client):
    password = re.search(r"Password\s+(\S+)", staff("create", "Sam@Service.example"))[1]
    printed = staff("otp", "sam@service.example")
    secret = re.search(r"Secret\s+([A-Z2-7]+)\n", printed)[1]

    code = f"{totp(base64.b32decode(secret)):06d}"
    client.post(
        "/admin/login/",
        {"username": "sam@service.example", "password": password, "otp_token": code, "next": "/"},
    )

    assert client.get("/admin/").status_code == 200
    assert f"secret={secret}" in printed
    actions = PlatformAuditEntry.objects.values_list("action", "new")
    assert [action for action, _ in actions] == ["staff.created", "staff.otp"]
    assert secret not in str(list(actions))


def test_a_password_of_ones_own_comes_from_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))

    printed = staff("create", "sam@service.example", "--password-stdin")

    assert "Password" not in printed
    assert User.objects.get().check_password("correct horse battery")


def test_a_member_who_becomes_staff_keeps_his_password(ben):
    printed = staff("create", ben.email)

    assert "Password" not in printed
    user = User.objects.get(email=ben.email)
    assert user.is_staff
    assert user.check_password("correct horse battery")


@pytest.mark.parametrize(
    ("password", "why"), [("", "no password"), ("short", "too short"), ("password1234", "common")]
)
def test_a_poor_password_is_refused(monkeypatch, password, why):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))

    with pytest.raises(CommandError, match=why):
        staff("create", "sam@service.example", "--password-stdin")

    assert not User.objects.exists()


def test_removed_staff_have_an_account_and_no_powers():
    staff("create", "sam@service.example")
    staff("remove", "sam@service.example")

    assert not User.objects.get().is_staff
    with pytest.raises(CommandError, match="is not staff"):
        staff("otp", "sam@service.example")
