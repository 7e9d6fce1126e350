"""Import and export as CSV: the preview names each bad line, one button does the rest."""

import html
import re
import time

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from routing.models import AuditEntry, Destination, Route
from routing.selectors import domain_snapshot, route_lines
from routing.services import bulk
from routing.services.bulk import apply_import
from tenants.context import tenant_schema
from tests.timing import slowness, within_cpu

pytestmark = pytest.mark.django_db

HEAD = "address,destinations,mode,note,until\r\n"


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    return ada


def preview(person, text, client=None):
    return (client or person.client()).post(person.url("routes-import"), {"text": text})


def saved(person, answer, client=None):
    """Press the button of the preview, as a browser would."""
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text_of(answer))
    typed = {name: html.unescape(value) for name, value in fields}
    return (client or person.client()).post(person.url("routes-import-apply"), typed)


def text_of(answer):
    return answer.content.decode()


def faults(answer):
    return [(one.line, one.column) for one in answer.context["faults"]]


def exported(person):
    return b"".join(person.client().get(person.url("routes-export"))).decode()


def addresses(person):
    return [line.address for line in route_lines(person.tenant)]


def test_lines_add_and_change_routes_and_remove_none(ada):
    ada.has_route("stays@example.org", "friend@away.example")
    answer = preview(
        ada,
        HEAD + "hi@example.org,friend@away.example other@away.example,,new note,\r\n"
        "sales-*@example.org,shop@away.example,defer,,2027-01-31\r\n",
    )

    assert answer.status_code == 200
    assert answer.context["counts"] == {"added": 1, "changed": 1, "unchanged": 0, "bad": 0}
    assert addresses(ada) == ["hi@example.org", "stays@example.org"]

    assert saved(ada, answer)["Location"] == ada.url("routes")

    assert addresses(ada) == ["hi@example.org", "sales-*@example.org", "stays@example.org"]
    match = domain_snapshot("example.org").routes.match("hi")
    assert match.route.destinations == ("friend@away.example",)
    assert match.route.unconfirmed == 1
    sales = next(one for one in route_lines(ada.tenant) if one.address.startswith("sales"))
    assert (sales.mode, f"{sales.expires_at:%d %H:%M}") == ("defer", "01 00:00")


def test_each_bad_line_is_named_and_nothing_is_saved(ada):
    lines = [
        "no address,friend@away.example,,,",
        "a@other.example,friend@away.example,,,",
        "b@example.org,nobody,,,",
        "c@example.org,,,,",
        "d@example.org,friend@away.example,maybe,,",
        "e@example.org,friend@away.example,,,soon",
        "f@example.org,friend@away.example,,,2001-01-01",
        'g@example.org,friend@away.example,,"two\nlines",',
        "x@example.org,friend@away.example,,,,more",
        "h@example.org,friend@away.example,,,",
        "H@Example.org,friend@away.example,,,",
        "a*@example.org,friend@away.example,,,",
        "*a@example.org,friend@away.example,,,",
        "loop@example.org,loop@example.org,,,",
        "v@example.org,v@mxax.test,,,",
        "%0d%0a@example.org,friend@away.example,,,",
    ]

    answer = preview(ada, HEAD + "\r\n".join(lines))

    assert faults(answer) == [
        (2, "address"),
        (3, "address"),
        (4, "destinations"),
        (5, "destinations"),
        (6, "mode"),
        (7, "until"),
        (8, "until"),
        (9, "note"),
        (11, ""),
        (13, "address"),
        (15, "address"),
        (16, "destinations"),
        (17, "destinations"),
        (18, "address"),
    ]
    assert addresses(ada) == ["hi@example.org"]

    saved(ada, answer)

    assert addresses(ada) == ["a*@example.org", "h@example.org", "hi@example.org"]


def test_a_circle_over_several_lines_names_one_of_them(ada):
    answer = preview(
        ada, "address,destinations\na@example.org,b@example.org\nb@example.org,a@example.org\n"
    )

    assert faults(answer) == [(2, "destinations")]
    assert "circle" in text_of(answer)


def test_all_or_nothing_where_a_line_went_bad_meanwhile(ada):
    client = ada.client()
    answer = preview(
        ada, HEAD + "a*@example.org,friend@away.example,,,\nb@example.org,x@y.example,,,", client
    )
    ada.has_route("*a@example.org", "friend@away.example")

    again = saved(ada, answer, client)

    assert again.status_code == 422
    assert faults(again) == [(2, "address")]
    assert addresses(ada) == ["*a@example.org", "hi@example.org"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Choose a file"),
        ("\n\n", "Choose a file"),
        ("hi@example.org,friend@away.example", "names the columns"),
        ("address,destinations,colour\n", "can be address"),
        ("address,address,destinations\n", "each once"),
        ("address,destinations\n" + "a,b\n" * 5001, "more than 5,000 lines"),
        ("address,destinations\n" + "x" * 1_000_001, "more than 1 MB"),
        ('address,destinations\n"' + "x" * 200_000, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told_at_the_field(ada, text, words):
    answer = preview(ada, text)

    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors["text"])


def test_a_file_with_a_byte_order_mark_and_semicolons(ada):
    octets = "\ufeffAddress;Destinations\r\nfile@example.org;friend@away.example\r\n".encode()
    upload = SimpleUploadedFile("routes.csv", octets)

    answer = ada.client().post(ada.url("routes-import"), {"file": upload})

    assert answer.context["counts"]["added"] == 1


def test_a_file_that_is_not_utf_8_names_the_line(ada):
    upload = SimpleUploadedFile(
        "routes.csv", b"address,destinations\nm\xfcller@example.org,x@y.z\n"
    )

    answer = ada.client().post(ada.url("routes-import"), {"file": upload})

    assert "Line 2 is not UTF-8" in " ".join(answer.context["form"].errors["file"])


def test_what_is_exported_can_be_imported_and_changes_nothing(ada):
    ada.has_route("=cmd*@example.org", "+1@away.example", "-2@away.example")
    ada.has_route("'quoted@example.org", '"a b"@away.example')
    with tenant_schema(ada.tenant.pk):
        Route.objects.filter(pattern="hi").update(note="@SUM(1+1)*cmd|' /C calc'!A0")

    text = exported(ada)
    answer = preview(ada, text)

    assert answer.context["counts"] == {"added": 0, "changed": 0, "unchanged": 3, "bad": 0}
    cells = re.split(r"[,\r\n]", text)
    assert not [cell for cell in cells if cell.lstrip('"')[:1] in ("=", "+", "-", "@")]


def test_a_column_left_out_keeps_what_is_there(ada):
    with tenant_schema(ada.tenant.pk):
        Route.objects.update(note="kept", mode="defer")

    saved(ada, preview(ada, "destinations,address\nother@away.example,hi@example.org\n"))

    with tenant_schema(ada.tenant.pk):
        route = Route.objects.get()
    assert (route.note, route.mode) == ("kept", "defer")
    assert domain_snapshot("example.org").routes.match("hi").route.unconfirmed == 1


def test_the_signed_lines_belong_to_one_person_and_tenant(ada, mallory):
    answer = preview(ada, HEAD + "stolen@example.org,x@y.example,,,")
    token = re.search(r'name="lines" value="([^"]*)"', text_of(answer))[1]
    client = mallory.client()

    for lines in (token, token[:-2] + "xx", "", "made up"):
        back = client.post(mallory.url("routes-import-apply"), {"lines": lines})
        assert back["Location"] == mallory.url("routes-import")

    assert route_lines(mallory.tenant) == []


def test_a_preview_is_good_for_an_hour(ada, monkeypatch):
    answer = preview(ada, HEAD + "late@example.org,x@y.example,,,")
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 3700)

    # The session is of yesterday's clock too; only the signed lines are asked here.
    from panel.access import Place, Role
    from panel.routes.bulk import _opened
    from tenants.audit import Actor

    place = Place(ada.tenant, ada.user, Role.OWNER, Actor("test"))
    token = html.unescape(re.search(r'name="lines" value="([^"]*)"', text_of(answer))[1])
    assert _opened(place, token) is None


def test_five_thousand_lines_take_seconds_ask_fifty_and_leave_an_audit(ada):
    lines = "".join(f"u{n}@example.org,d{n}@far{n % 40}.example,,,\r\n" for n in range(5000))
    began = time.process_time()

    plan = apply_import(tenant=ada.tenant, text=HEAD + lines, actor="test")

    assert time.process_time() - began < 20 * slowness()
    assert len(plan.added) == 5000
    with tenant_schema(ada.tenant.pk):
        assert Route.objects.count() == 5001
        assert Destination.objects.filter(asked_at__isnull=False).count() == 50
        assert AuditEntry.objects.filter(action="routes.imported").count() == 50


def test_two_hundred_stars_a_domain_are_told_from_each_other_quickly(ada):
    lines = "".join(
        f"*{'a' * (n % 9)}{n:03}*{n:03}b*@example.org,d@x.example,,,\n" for n in range(260)
    )

    answer = within_cpu(lambda: preview(ada, HEAD + lines), seconds=20)

    assert answer.context["counts"]["added"] <= bulk.saving.MOST_GLOBS


def test_a_viewer_exports_and_does_not_import(ada, ben):
    assert "hi@example.org" in b"".join(ben.client().get(ada.url("routes-export"))).decode()
    assert preview(ada, HEAD, ben.client()).status_code == 403
    assert ben.client().post(ada.url("routes-import-apply")).status_code == 403
