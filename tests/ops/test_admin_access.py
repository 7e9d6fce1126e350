"""The door of the admin sites: second factor, grants, roles of the database, and leaving no trace."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.urls import get_script_prefix
from django_otp.plugins.otp_totp.models import TOTPDevice

from delivery.models import Content, Delivery
from ops import grants
from ops.grants import GrantRefused
from ops.middleware import support_door
from routing.models import AuditEntry
from tenants.audit import first_break
from tenants.context import tenant_schema
from tenants.models import PlatformAuditEntry, SupportGrant
from tenants.otp import secret_of
from tenants.services.factors import enrol
from tests.ops.conftest import PASSWORD, queued

pytestmark = pytest.mark.django_db


def where_we_are() -> tuple[str, str, str, str]:
    """Role, tenant, staff and search path of this connection, as the server says."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user::text, coalesce(current_setting('mxax.tenant_id', true), ''),"
            " coalesce(current_setting('mxax.staff_id', true), ''), current_setting('search_path')"
        )
        return cursor.fetchone()


@pytest.fixture
def web_process(transactional_db):
    """The connection of a web process: its role is the one it connects in."""
    options = connection.settings_dict["OPTIONS"]
    before = options["assume_role"]

    def work_as(role: str) -> None:
        options["assume_role"] = role
        connection.close()

    yield work_as
    options["assume_role"] = before
    connection.close()


def answering(view):
    """The door in front of a view of our own, for requests of a signed-in member of staff."""

    def ask(sam, path):
        request = RequestFactory().get(path)
        request.user = sam.user
        request.user.is_verified = lambda: True
        return support_door(view)(request)

    return ask


def test_password_and_code_together_let_in(sam):
    response = sam.sends(
        "/admin/login/",
        username="Sam@service.example",
        password=PASSWORD,
        otp_token=sam.code(),
        next="/admin/",
    )

    assert response.status_code == 302
    assert "Why did the mail not arrive?" in sam.sees("/admin/")


@pytest.mark.parametrize(
    ("password", "code"), [(PASSWORD, ""), (PASSWORD, "000000"), ("wrong password here", None)]
)
def test_one_of_them_alone_does_not(sam, password, code):
    token = sam.code() if code is None else code
    response = sam.sends(
        "/admin/login/", username=sam.user.email, password=password, otp_token=token
    )

    page = response.content.decode()
    assert response.status_code == 200
    assert "<title>Error:" in page
    assert password not in page
    sam.sees("/admin/", status=302)


def test_a_code_works_once(sam):
    code = sam.code()
    for status in (302, 200):
        response = sam.sends(
            "/admin/login/", username=sam.user.email, password=PASSWORD, otp_token=code
        )
        assert response.status_code == status


def test_guessing_codes_is_slowed_down(sam):
    def tries(code):
        response = sam.sends(
            "/admin/login/", username=sam.user.email, password=PASSWORD, otp_token=code
        )
        return response.content.decode()

    tries("000000")
    assert TOTPDevice.objects.get().throttling_failure_count == 1
    TOTPDevice.objects.update(throttling_failure_count=6)

    # 32 seconds from now on the right code does not help either.
    assert "temporarily disabled" in tries(sam.code())
    sam.sees("/admin/", status=302)


def test_the_secret_is_sealed_in_the_table(sam):
    stored = TOTPDevice.objects.values_list("key", flat=True).get()
    secret = secret_of(sam.device)

    assert len(secret) == 20
    assert secret.hex() not in stored
    assert len(stored) <= 80
    assert TOTPDevice.objects.get().bin_key == secret


def test_a_sealed_secret_is_of_no_use_to_another_person(sam, ben):
    from tenants.models import User
    from tenants.vault import VaultError

    stolen = TOTPDevice.objects.get()
    stolen.user = User.objects.get(email=ben.email)

    with pytest.raises(VaultError):
        secret_of(stolen)


def test_a_new_second_factor_replaces_the_old_one(sam):
    before = secret_of(sam.device)

    after = enrol(user=sam.user, actor="test")

    assert TOTPDevice.objects.count() == 1
    assert secret_of(after) != before


def test_staff_who_lost_their_powers_are_out_at_once(sam):
    sam.signs_in().sees("/admin/")
    sam.user.is_staff = False
    sam.user.save()

    sam.sees("/admin/", status=302)


def test_opening_a_tenant_asks_for_a_reason_and_tells_the_tenant(sam, ada):
    sam.signs_in()
    asked = sam.browser.get("/admin/t/ada/routing/route/")
    address = asked["Location"]
    assert "the reason" not in sam.sees(address)

    refused = sam.sends(address, reason="   ", minutes="60")
    assert refused.status_code == 200
    assert "Error:" in refused.content.decode()
    opened = sam.sends(address, reason="Ticket 4711", minutes="15")

    assert (opened.status_code, opened["Location"]) == (303, "/admin/t/ada/routing/route/")
    page = sam.sees("/admin/t/ada/routing/route/")
    assert "Ticket 4711" in page
    with tenant_schema(ada.tenant.pk):
        entry = AuditEntry.objects.last()
        assert first_break(AuditEntry) is None
    assert (entry.action, entry.actor, entry.client_ip) == (
        "support.opened",
        sam.user.email,
        "127.0.0.1",
    )
    assert entry.new["reason"] == "Ticket 4711"
    platform = PlatformAuditEntry.objects.last()
    assert (platform.action, platform.tenant_slug) == ("support.opened", "ada")
    assert first_break(PlatformAuditEntry) is None


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example/", "/admin/t/mallory/"])
def test_after_opening_one_stays_in_the_tenant(sam, ada, away):
    response = sam.signs_in().sends(
        "/admin/grant/ada/", reason="Ticket 4711", minutes="15", next=away
    )

    assert response["Location"] == "/admin/t/ada/"


def test_a_grant_ends_when_it_is_closed(sam, ada):
    sam.signs_in().opens(ada.tenant)
    sam.sees("/admin/t/ada/")
    sam.sees("/admin/grant/ada/end/", status=405)

    response = sam.sends("/admin/grant/ada/end/")

    assert response.status_code == 303
    sam.sees("/admin/t/ada/", status=302)
    with tenant_schema(ada.tenant.pk):
        assert AuditEntry.objects.last().action == "support.ended"


def test_a_grant_ends_by_itself(sam, ada):
    sam.signs_in().opens(ada.tenant)
    earlier = timedelta(hours=2)
    for grant in SupportGrant.objects.all():
        grant.starts_at, grant.ends_at = grant.starts_at - earlier, grant.ends_at - earlier
        grant.save()

    sam.sees("/admin/t/ada/", status=302)


def test_no_grant_for_longer_than_an_hour_or_for_somebody_else(sam, ada, ben):
    from tenants.models import User

    with pytest.raises(GrantRefused, match="hour"):
        grants.open_grant(
            tenant=ada.tenant, staff=sam.user, reason="x", actor="t", lasts=timedelta(minutes=61)
        )
    with pytest.raises(GrantRefused, match="staff"):
        grants.open_grant(
            tenant=ada.tenant, staff=User.objects.get(email=ben.email), reason="x", actor="t"
        )


def test_a_tenant_that_is_not_there_is_not_found(sam):
    sam.signs_in()

    for path in ("/admin/t/nobody/", "/admin/t/public/", "/admin/t/t1/", "/admin/grant/nobody/"):
        sam.sees(path, status=404)


def test_the_web_process_gets_its_connection_back_as_it_was(web_process, sam, ada, mallory):
    queued(ada.tenant)
    queued(mallory.tenant, "hi@mallory.example")
    sam.signs_in().opens(ada.tenant)
    web_process("mxax_web")
    own = ("mxax_web", "", "", "public")
    assert where_we_are() == own

    granted = sam.sees("/admin/delivery/delivery/")
    assert where_we_are() == own
    inside = sam.sees("/admin/t/ada/delivery/delivery/")
    assert where_we_are() == own

    assert "hi@ada.example" in granted
    assert "hi@mallory.example" not in granted
    assert "hi@ada.example" in inside
    assert get_script_prefix() == "/"
    assert not Delivery.objects.exists()  # the web role without a tenant


def test_without_a_grant_no_row_of_the_queue_is_seen(web_process, sam, ada):
    queued(ada.tenant)
    sam.signs_in()
    web_process("mxax_web")

    page = sam.sees("/admin/delivery/delivery/")

    assert "hi@ada.example" not in page
    assert "Nothing here" in page


def test_a_failure_in_the_middle_leaves_nothing_open(web_process, sam, ada):
    sam.signs_in().opens(ada.tenant)
    web_process("mxax_web")
    seen = []

    def fails(request):
        seen.append(where_we_are())
        with connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT 1 / 0")

    with pytest.raises(Exception, match="division by zero"):
        answering(fails)(sam, "/admin/t/ada/x/")

    role, tenant, staff, path = seen[0]
    assert (role, tenant, staff) == ("mxax_support", str(ada.tenant.pk), str(sam.user.pk))
    assert path.startswith(ada.tenant.schema_name)
    assert where_we_are() == ("mxax_web", "", "", "public")
    assert get_script_prefix() == "/"


def test_a_streamed_response_works_inside_and_leaves_nothing_open(web_process, sam, ada):
    sam.signs_in().opens(ada.tenant)
    web_process("mxax_web")

    def pieces():
        for _ in range(2):
            yield ",".join(where_we_are()).encode()

    response = answering(lambda request: StreamingHttpResponse(pieces()))(sam, "/admin/t/ada/x/")
    between = [where_we_are()]
    told = []
    for piece in response.streaming_content:
        told.append(piece.decode())
        between.append(where_we_are())

    assert len(told) == 2
    assert all(text.startswith(f"mxax_support,{ada.tenant.pk},{sam.user.pk},") for text in told)
    assert set(between) == {("mxax_web", "", "", "public")}


def test_a_rolled_back_savepoint_does_not_lose_the_role(sam, ada):
    from django.db import transaction

    sam.signs_in().opens(ada.tenant)
    seen = []

    def view(request):
        with transaction.atomic():
            where_we_are()
            transaction.set_rollback(True)
        seen.append(where_we_are())
        return HttpResponse()

    answering(view)(sam, "/admin/t/ada/x/")

    assert seen[0][:3] == ("mxax_support", str(ada.tenant.pk), str(sam.user.pk))
    assert where_we_are()[:3] == ("mxax_owner", "", "")


def test_support_cannot_read_content_or_secrets(sam, ada):
    queued(ada.tenant)
    sam.signs_in().opens(ada.tenant)
    refused = []

    def view(request):
        from django.db import ProgrammingError, transaction

        for statement in (
            "SELECT octets FROM delivery_content",
            "SELECT sealed_private FROM tenants_servicekey",
            "SELECT sealed_private FROM routing_dkimkey",
            "SELECT stored_key FROM routing_smtpcredential",
            "SELECT digest FROM tenants_invitation",
            "SELECT digest FROM tenants_recoverycode",
            "DELETE FROM routing_auditentry",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(statement)
            refused.append(statement)
        return HttpResponse()

    answering(view)(sam, "/admin/t/ada/x/")

    assert len(refused) == 7
    assert Content.objects.exists()


def test_the_password_alone_is_no_way_in(sam, ada):
    assert authenticate(username=sam.user.email, password=PASSWORD) == sam.user
    sam.opens(ada.tenant)
    sam.browser.force_login(sam.user)

    for path in ("/admin/", "/admin/t/ada/", "/admin/grant/ada/"):
        response = sam.browser.get(path)
        assert response.status_code == 302
        # At the door, not by the tenant's site behind it.
        assert response["Location"].startswith("/admin/login/?next="), path


def test_where_roles_are_forbidden_the_lists_still_ask_for_granted_rows_only(
    sam, ada, mallory, settings
):
    settings.ENV = replace(settings.ENV, database_roles=False)
    queued(ada.tenant)
    queued(mallory.tenant, "hi@mallory.example")
    sam.signs_in().opens(ada.tenant)

    for path in ("/admin/delivery/delivery/", "/admin/t/ada/delivery/delivery/"):
        page = sam.sees(path)
        assert "hi@ada.example" in page
        assert "hi@mallory.example" not in page


@pytest.mark.parametrize(
    "lookup",
    ["tenants/user/?password__startswith=a", "tenants/membership/?user__password__startswith=a"],
)
def test_a_list_does_not_help_to_guess_a_password(sam, lookup):
    sam.signs_in().sees(f"/admin/{lookup}", status=400)
