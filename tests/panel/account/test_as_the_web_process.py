"""Everything about an account works in the database role of the web process."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from delivery.models import Message
from delivery.notices import QueuedNotices
from tenants.housekeeping import sweep_accounts
from tenants.models import Invitation, Membership, User
from tenants.notices import bind_notices
from tests.panel.account.conftest import NEW_PASSWORD, PASSWORD, Browser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def in_role(transactional_db):
    options = connection.settings_dict["OPTIONS"]
    before = options["assume_role"]

    def work_as(role: str) -> None:
        options["assume_role"] = role
        connection.close()

    yield work_as
    options["assume_role"] = before
    connection.close()


def test_from_signing_in_to_deleting_the_account(in_role, ada, ben, sign_up_is_on):
    bind_notices(QueuedNotices())
    browser = Browser()
    in_role("mxax_web")

    assert browser.sends("/sign-up/", email="carol@carol.example").status_code == 303
    assert browser.signs_in(ben.email, PASSWORD).status_code == 303
    assert browser.sends("/account/name/", name="Ben").status_code == 303
    changed = browser.sends("/account/password/", current=PASSWORD, password=NEW_PASSWORD)
    assert changed.status_code == 303
    browser.sends("/account/second-factor/begin/")
    code = f"{totp(TOTPDevice.objects.get().bin_key):06d}"
    assert browser.sends("/account/second-factor/set-up/", code=code).status_code == 303
    assert browser.sends("/account/recovery-codes/").status_code == 303
    assert browser.gets("/account/recovery-codes/shown/").status_code == 200
    assert browser.sends("/account/second-factor/remove/").status_code == 303
    assert browser.sends("/account/address/", email="ben@new.example").status_code == 303
    assert not Message.objects.exists()  # handed in, and out of sight
    assert browser.sends("/account/delete/", email=ben.email).status_code == 303

    in_role("mxax_owner")
    assert not User.objects.filter(email=ben.email).exists()
    assert Membership.objects.count() == 1
    assert Message.objects.filter(tenant_id=None).count() == 7


def test_the_sweep_in_the_role_of_the_worker(in_role, ada):
    Browser().signs_in(ada.email)
    long_ago = timezone.now() - timedelta(days=100)
    Invitation.objects.create(
        tenant=ada.tenant,
        email="gone@guests.example",
        role="viewer",
        digest=b"x",
        invited_by=ada.email,
        created_at=long_ago,
        expires_at=long_ago + timedelta(days=7),
    )
    in_role("mxax_worker")

    sweep_accounts()

    in_role("mxax_owner")
    assert not Invitation.objects.exists()


def test_the_web_role_hands_in_no_mail_of_another_tenant(in_role, ada):
    from django.db import ProgrammingError, transaction

    in_role("mxax_web")
    for tenant_id in (ada.tenant.pk, 999_999):
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO delivery_deliveryevent (tenant_id, kind, data)"
                    " VALUES (%s, 'accepted', '{}')",
                    [tenant_id],
                )
