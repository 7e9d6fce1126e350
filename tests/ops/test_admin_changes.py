"""What support changes goes through the services: refusals are form errors, all is in the audit."""

from __future__ import annotations

import pytest

from delivery.models import Content, Delivery, Message
from mail.trace import format_trace_id
from ops.admin import search
from routing.mail_exchangers import MailQuestions, MailWord
from routing.models import AuditEntry, Destination, Domain, Route, Suppression
from routing.services import saving
from tenants.audit import first_break
from tenants.context import tenant_schema
from tenants.models import ClaimedDomain, PlatformAuditEntry, Tenant
from tests.delivery.log_words import a_trace_id, accepted, attempted, the_log_writer_runs
from tests.ops.conftest import SCRIPT, queued

pytestmark = pytest.mark.django_db
ROUTES = "/admin/t/ada/routing/route/"


@pytest.fixture
def inside(sam, ada):
    """Sam, with Ada's tenant open to him."""
    ada.has_domain("ada.example")
    sam.signs_in().opens(ada.tenant)
    return sam


def last_entry(ada) -> AuditEntry:
    with tenant_schema(ada.tenant.pk):
        assert first_break(AuditEntry) is None
        return AuditEntry.objects.last()


def test_a_route_is_added_through_the_service(inside, ada):
    response = inside.sends(
        f"{ROUTES}add/", address="Sales@ADA.example", goes_to="a@far.example\nb@far.example"
    )

    assert response.status_code == 303
    assert response["Location"].startswith(ROUTES)
    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().destinations.count() == 2
        assert Destination.objects.filter(confirmed_at=None).count() == 2
        entry = AuditEntry.objects.get(action="route.added")
    assert (entry.action, entry.actor, entry.client_ip) == (
        "route.added",
        inside.user.email,
        "127.0.0.1",
    )


def test_what_opens_popups_elsewhere_has_no_script_either(inside):
    response = inside.sends(
        f"{ROUTES}add/", address="sales@ada.example", goes_to="a@far.example", _popup="1"
    )

    assert not SCRIPT.search(response.content.decode())


@pytest.mark.parametrize(
    ("address", "goes_to", "why"),
    [
        ("a@other.example", "b@far.example", "has no domain other.example"),
        ("a@ada.example", "not an address", "not an address"),
        ("a*b*c*d*@ada.example", "b@far.example", "*"),
        ("", "b@far.example", "required"),
    ],
)
def test_what_the_service_refuses_is_an_error_in_the_form(inside, ada, address, goes_to, why):
    before = last_entry(ada).pk
    response = inside.sends(f"{ROUTES}add/", address=address, goes_to=goes_to)

    page = response.content.decode()
    assert response.status_code == 200
    assert "<title>Error:" in page
    assert why in page
    with tenant_schema(ada.tenant.pk):
        assert not Route.objects.exists()
    assert last_entry(ada).pk == before


def test_a_destination_that_takes_no_mail_is_an_error_at_its_field(inside, ada, monkeypatch):
    says_no = {"null.example": MailWord.NULL_MX}
    monkeypatch.setattr(saving, "configured_questions", MailQuestions)
    monkeypatch.setattr(saving, "domains_without_mail", lambda names, questions: says_no)

    response = inside.sends(f"{ROUTES}add/", address="a@ada.example", goes_to="b@null.example")

    form = response.context["adminform"].form
    assert "null MX" in form.errors["goes_to"][0]
    assert not form.non_field_errors()
    with tenant_schema(ada.tenant.pk):
        assert not Route.objects.exists()


def test_a_route_is_paused_and_removed(inside, ada):
    ada.has_route("hi@ada.example", "friend@far.example")
    with tenant_schema(ada.tenant.pk):
        page = f"{ROUTES}{Route.objects.get().pk}/"

    paused = inside.sends(f"{page}change/", mode="refuse")
    assert paused.status_code == 303
    assert last_entry(ada).new == {"mode": "refuse"}
    assert "refused" in inside.sees(f"{page}delete/")
    removed = inside.sends(f"{page}delete/")

    assert removed.status_code == 303
    assert last_entry(ada).action == "route.removed"
    assert "hi@ada.example is removed" in inside.sees(ROUTES)


def test_removing_a_domain_wants_its_name_typed(inside, ada):
    ada.has_route("hi@ada.example", "friend@far.example")
    with tenant_schema(ada.tenant.pk):
        page = f"/admin/t/ada/routing/domain/{Domain.objects.get().pk}/delete/"

    refused = inside.sends(page, typed="ada.exampel")
    assert "type ada.example to confirm" in refused.content.decode()
    assert ClaimedDomain.objects.exists()
    removed = inside.sends(page, typed="ada.example")

    assert removed.status_code == 303
    assert not ClaimedDomain.objects.exists()
    with tenant_schema(ada.tenant.pk):
        assert not Domain.objects.exists()
        assert not Route.objects.exists()


def test_a_domain_is_added_and_refused(inside, ada):
    path = "/admin/t/ada/routing/domain/add/"
    assert inside.sends(path, domain="new.example").status_code == 303
    assert ClaimedDomain.objects.get(name="new.example").state == "pending"

    again = inside.sends(path, domain="new.example").content.decode()
    own = inside.sends(path, domain="x.mxax.test").content.decode()

    assert "already a domain of ada" in again
    assert "belongs to the service itself" in own


def test_a_destination_is_confirmed_by_word(inside, ada):
    ada.has_route("hi@ada.example", "friend@far.example", confirmed=False)
    with tenant_schema(ada.tenant.pk):
        pk = Destination.objects.get().pk

    inside.sends(
        "/admin/t/ada/routing/destination/", action="confirm", index="0", _selected_action=pk
    )

    with tenant_schema(ada.tenant.pk):
        assert Destination.objects.get().confirmed_by == inside.user.email
    assert last_entry(ada).action == "destination.confirmed"


def test_a_suppressed_address_is_let_go(inside, ada):
    with tenant_schema(ada.tenant.pk):
        pk = Suppression.objects.create(address="gone@far.example", reason="550").pk

    inside.sends(f"/admin/t/ada/routing/suppression/{pk}/delete/")

    with tenant_schema(ada.tenant.pk):
        assert not Suppression.objects.exists()
    assert last_entry(ada).action == "suppression.lifted"


def test_a_tenant_is_suspended_without_being_opened(sam, ada):
    page = f"/admin/tenants/tenant/{ada.tenant.pk}/change/"
    response = sam.signs_in().sends(page, standing="abusive", reason="phishing")

    assert response.status_code == 303
    assert Tenant.objects.get(slug="ada").standing == "abusive"
    assert last_entry(ada).new == {"standing": "abusive", "reason": "phishing"}
    assert "Error:" in sam.sends(page, standing="active").content.decode()  # why?


def test_models_without_a_service_take_no_post(inside, ada):
    for path in (
        f"/admin/tenants/user/{inside.user.pk}/change/",
        "/admin/tenants/user/add/",
        "/admin/t/ada/routing/logpolicy/1/change/",
        "/admin/t/ada/routing/auditentry/1/change/",
        "/admin/t/ada/routing/auditentry/1/delete/",
    ):
        assert inside.sends(path, email="x@y.example", level="5").status_code == 403, path


@pytest.mark.parametrize("site", ["/admin/", "/admin/t/ada/"])
def test_the_queue_is_held_released_and_retried(
    inside, ada, site, django_capture_on_commit_callbacks
):
    first, other = queued(ada.tenant), queued(ada.tenant)
    path = f"{site}delivery/delivery/"

    for action, state in (("hold", Delivery.State.HELD), ("release", Delivery.State.QUEUED)):
        inside.sends(path, action=action, index="0", _selected_action=first.pk)
        assert Delivery.objects.get(pk=first.pk).state == state
        assert last_entry(ada).action == f"queue.{action}"
    inside.sends(path, action="retry", index="0", _selected_action=first.pk)

    # By its trace id: the audit lives longer than the address may.
    assert last_entry(ada).new == {
        "deliveries": 1,
        "messages": [format_trace_id(first.message_id)],
    }
    platform = PlatformAuditEntry.objects.last()
    assert (platform.action, platform.tenant_slug) == ("queue.retry", "ada")
    assert "hi@ada.example" not in str(platform.new)
    assert Delivery.objects.get(pk=other.pk).attempts == 1


def test_deleting_mail_asks_first(inside, ada):
    row = queued(ada.tenant)
    path = "/admin/delivery/delivery/"
    asked = inside.sends(path, action="delete", index="0", _selected_action=row.pk)
    assert "Delete for good" in asked.content.decode()
    assert Delivery.objects.exists()

    inside.sends(path, action="delete", sure="yes", _selected_action=row.pk)

    assert not Delivery.objects.exists()
    assert not Message.objects.exists()
    assert not Content.objects.exists()
    assert last_entry(ada).action == "queue.delete"


def test_mail_of_a_tenant_that_is_not_open_cannot_be_touched(sam, ada, mallory):
    row = queued(mallory.tenant)
    sam.signs_in().opens(ada.tenant)

    for path in ("/admin/delivery/delivery/", "/admin/t/ada/delivery/delivery/"):
        sam.sends(path, action="delete", sure="yes", _selected_action=row.pk)

    assert Delivery.objects.filter(pk=row.pk).exists()


def test_why_did_the_mail_not_arrive_in_three_clicks(sam, ada, mallory):
    ada.has_domain("ada.example")
    row = queued(ada.tenant)
    sam.signs_in().opens(ada.tenant)
    trace = format_trace_id(row.message_id)

    found = sam.sees("/admin/find/?q=hi%40ADA.example")
    assert "/admin/t/ada/mail/?q=hi%40ada.example" in found
    listed = sam.sees("/admin/t/ada/mail/?q=hi%40ada.example")
    assert f"/admin/t/ada/mail/{trace}/" in listed
    assert "450 4.2.1 try later" in listed
    story = sam.sees(f"/admin/t/ada/mail/{trace}/")

    assert "deferred" in story
    assert "450 4.2.1 try later" in story


def test_a_long_story_comes_to_support_in_parts(sam, ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    for number in range(120):
        reply = f"451 4.7.1 attempt {number}."
        attempted(ada.tenant, trace_id, "friend@far.example", "deferred", reply)
    the_log_writer_runs()
    sam.signs_in().opens(ada.tenant)
    url = f"/admin/t/ada/mail/{format_trace_id(trace_id)}/"

    first, last = sam.sees(url), sam.sees(f"{url}?part=999")

    assert "attempt 3." in first
    assert "attempt 119." not in first
    assert "attempt 119." in last
    assert len(first.encode()) < 60_000


@pytest.mark.parametrize("form", ["{}", " {} ", "<{}>", "id {}", "{:upper}", "uuid", "hex"])
def test_a_trace_id_is_understood_however_it_is_typed(sam, ada, form):
    row = queued(ada.tenant)
    printed = format_trace_id(row.message_id)
    typed = {
        "{:upper}": printed.upper(),
        "uuid": str(row.message_id),
        "hex": row.message_id.hex,
    }.get(form) or form.format(printed)
    sam.signs_in().opens(ada.tenant)

    response = sam.browser.get("/admin/find/", {"q": typed})

    assert response["Location"] == f"/admin/t/ada/mail/{printed}/"
    assert printed in sam.sees("/admin/delivery/delivery/?q=" + typed.strip())


@pytest.mark.parametrize(
    ("typed", "address", "domain"),
    [
        ("hi@Ada.Example", "hi@ada.example", ""),
        ("<hi@ada.example>,", "hi@ada.example", ""),
        ("mailto:hi@ada.example", "hi@ada.example", ""),
        ("hi@bücher.example", "hi@xn--bcher-kva.example", ""),
        ("Ada.Example.", "", "ada.example"),
        ("ada", "", ""),
        ("@", "", ""),
        ("a b", "", ""),
    ],
)
def test_search_boxes_read_addresses_and_domains(typed, address, domain):
    wanted = search.read(typed)

    assert (wanted.address, wanted.domain) == (address, domain)


def test_find_knows_slugs_members_and_unknown_domains(sam, ada):
    ada.has_domain("ada.example", verified=False)
    sam.signs_in()

    assert "ada.example is pending" in sam.sees("/admin/find/?q=ada.example")
    assert "ada.example is pending" in sam.sees("/admin/find/?q=ada@ada.example")
    assert "sam@away.example is owner" not in sam.sees("/admin/find/?q=sam@away.example")
    assert '/admin/t/ada/"' in sam.sees("/admin/find/?q=ada")
    assert "No tenant has nowhere.example" in sam.sees("/admin/find/?q=x@nowhere.example")
    assert "Nothing is known" in sam.sees("/admin/find/?q=01jd9zzzzzzzzzzzzzzzzzzzzz")


def test_a_message_of_another_tenant_has_no_story_here(sam, ada, mallory):
    row = queued(mallory.tenant)
    sam.signs_in().opens(ada.tenant)
    sam.opens(mallory.tenant)

    sam.sees(f"/admin/t/ada/mail/{format_trace_id(row.message_id)}/", status=404)
    sam.sees(f"/admin/t/mallory/mail/{format_trace_id(row.message_id)}/")
    sam.sees("/admin/t/ada/mail/nonsense/", status=404)


def test_mail_to_one_address_is_told_to_each_tenant_apart(sam, ada, mallory):
    ada.has_domain("ada.example")
    mallory.has_domain("ada.example", verified=False)
    ours, theirs = queued(ada.tenant), queued(mallory.tenant)
    sam.signs_in().opens(ada.tenant)
    sam.opens(mallory.tenant)

    page = sam.sees("/admin/t/ada/mail/?q=hi@ada.example")

    assert format_trace_id(ours.message_id) in page
    assert format_trace_id(theirs.message_id) not in page


def test_strangers_text_stays_text(sam, ada):
    queued(ada.tenant, last_reply="550 <script>alert(1)</script>")
    sam.signs_in().opens(ada.tenant)

    for path in ("/admin/delivery/delivery/", "/admin/t/ada/mail/?q=hi@ada.example"):
        assert "<script" not in sam.sees(path)
