"""The list of routes, a route's page, and the forms that make, change and remove one."""

import pytest
from django.utils import timezone

from delivery.messagelog.models import RouteDay
from mail.facts import RouteMode
from routing.models import AuditEntry, Destination, Domain, Route, RouteDestination
from routing.selectors import domain_snapshot
from routing.services import remove_route, set_mode
from tenants.context import tenant_schema

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    return ada


def route_of(person, pattern="hi"):
    with tenant_schema(person.tenant.pk):
        return Route.with_trash.select_related("domain").get(pattern=pattern)


def text_of(answer):
    return answer.content.decode()


def new_route(person, **values):
    typed = {"address": "new@example.org", "destinations": "new@away.example", **values}
    return person.client().post(person.url("route-add"), typed)


def edit(person, client=None, **values):
    client = client or person.client()
    url = person.url("route-edit", route_of(person).pk)
    form = client.get(url).context["form"]
    typed = {name: form[name].value() or "" for name in form.fields} | values
    return client.post(url, typed)


def test_a_route_is_made_and_its_page_says_what_is_missing(ada):
    answer = new_route(ada, note="for friends", last_day="2027-01-31")

    assert answer.status_code == 303
    text = text_of(ada.client().get(answer["Location"]))
    assert "new@example.org" in text
    assert "for friends" in text
    assert "31 Jan 2027" in text
    assert "not confirmed" in text
    assert "Ask again" in text


def test_who_has_no_domain_yet_is_led_to_add_one(mallory):
    answer = mallory.client().get(mallory.url("route-add"), follow=True)

    assert answer.redirect_chain == [(mallory.url("domain-add"), 303)]
    assert "add a domain first" in text_of(answer)


def test_an_address_of_a_foreign_domain_is_refused_in_words_for_customers(ada):
    answer = new_route(ada, address="hi@other.example")

    assert answer.status_code == 422
    assert "add the domain first" in text_of(answer)
    assert "manage.py" not in text_of(answer)


@pytest.mark.parametrize("typed", ["bücher", "Bücher.example", "les@bücher.ex"])
def test_routes_are_found_by_the_names_that_pages_show(ada, typed):
    ada.has_domain("xn--bcher-kva.example")
    ada.has_route("sales@xn--bcher-kva.example", "friend@away.example")

    found = text_of(ada.client().get(ada.url("routes"), {"q": typed}))

    assert "sales@bücher.example" in found
    assert "hi@example.org" not in found


def test_many_domains_make_no_large_page_and_are_typed(ada):
    with tenant_schema(ada.tenant.pk):
        Domain.objects.bulk_create(
            Domain(name=f"{'a' * 60}.{'b' * 60}.d{number}.example") for number in range(300)
        )

    pages = [ada.client().get(ada.url(name)) for name in ("routes", "credential-add")]
    found = ada.client().get(ada.url("routes"), {"domain": "Example.org"})
    wrong = ada.client().get(ada.url("routes"), {"domain": "other.example"})

    assert all(len(one.content) < 60_000 for one in pages)
    assert "hi@example.org" in text_of(found)
    assert "You have no domain of this name." in text_of(wrong)


def test_a_catch_all_is_made(ada):
    assert new_route(ada, address="*@example.org").status_code == 303

    assert domain_snapshot("example.org").routes.catch_all is not None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("address", "", "Fill this in."),
        ("address", "hi", "like hi@example.org"),
        ("address", "hi@example.org", "already"),
        ("address", "hi@other.example", "no domain other.example"),
        ("address", "a@example.org\r\nBcc: b@c.example", "cannot be the address"),
        ("address", "a%0d%0a@example.org", "cannot be the address"),
        ("destinations", " \r\n ", "at least one address"),
        ("destinations", "fine@away.example\r\nno address", "Line 2"),
        ("destinations", "x@away.example\u2028y@away.example", "cannot be a destination"),
        ("destinations", "new@example.org", "circle"),
        ("note", "two\r\nlines", "one line"),
        ("last_day", "2020-01-01", "is over"),
        ("last_day", "31.12.2027", "valid date"),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_all_that_was_typed_stays(ada, field, value, words):
    answer = new_route(ada, **{"note": "kept", field: value})

    form = answer.context["form"]
    assert answer.status_code == 422
    # A circle is of the whole route; everything else is of the field.
    at = "address" if words == "circle" else field
    assert words in " ".join(form.errors[at])
    assert "<title>Error:" in text_of(answer)
    assert form["note"].value() == (value if field == "note" else "kept")


def test_a_route_is_changed(ada):
    answer = edit(ada, destinations="friend@away.example\r\nother@away.example", note="new")

    assert answer.status_code == 303
    with tenant_schema(ada.tenant.pk):
        assert Route.objects.get().note == "new"
        assert Destination.objects.count() == 2
        entry = AuditEntry.objects.get(action="route.changed")
    assert (entry.actor, entry.actor_id) == (ada.email, ada.user.pk)


def test_somebody_elses_change_meanwhile_is_shown(ada):
    client = ada.client()
    url = ada.url("route-edit", route_of(ada).pk)
    form = client.get(url).context["form"]
    typed = {name: form[name].value() or "" for name in form.fields} | {"note": "mine"}
    set_mode(tenant=ada.tenant, address="hi@example.org", mode=RouteMode.DROP, actor="test")

    answer = client.post(url, typed)

    assert answer.status_code == 422
    assert "Somebody was faster" in text_of(answer)
    assert "accept and drop" in text_of(answer)
    assert answer.context["form"]["note"].value() == "mine"
    assert client.post(url, typed | {"version": answer.context["form"]["version"].value()})[
        "Location"
    ]


@pytest.mark.parametrize("mode", ["refuse", "defer", "drop"])
def test_a_route_is_paused_and_resumed(ada, mode):
    client, route = ada.client(), route_of(ada)

    answer = client.post(ada.url("route-pause", route.pk), {"mode": mode})

    assert answer.status_code == 303
    assert domain_snapshot("example.org").routes.match("hi").route.mode.value == mode
    assert "paused" in text_of(client.get(answer["Location"]))

    client.post(ada.url("route-resume", route.pk))

    assert domain_snapshot("example.org").routes.match("hi").route.mode is RouteMode.ON


def test_a_route_that_failed_says_so(ada):
    with tenant_schema(ada.tenant.pk):
        Route.objects.update(mode="refuse", paused_because="failures")

    for url in (ada.url("routes"), ada.url("route", route_of(ada).pk)):
        assert "its mail failed 12 times" in text_of(ada.client().get(url))


def test_a_route_is_removed_after_saying_what_stops_and_comes_back(ada):
    ada.has_route("*@example.org", "rest@away.example")
    client, route = ada.client(), route_of(ada)
    url = ada.url("route-delete", route.pk)
    asking = text_of(client.get(url))
    assert "friend@away.example gets nothing more" in asking
    assert "Its mail goes to *@example.org" in asking
    assert domain_snapshot("example.org").routes.match("hi").route.route_id == route.pk

    assert client.post(url)["Location"] == ada.url("routes")

    assert domain_snapshot("example.org").routes.match("hi").route.route_id != route.pk
    assert "hi@example.org" in text_of(client.get(ada.url("routes") + "?state=trash"))
    assert client.get(url).status_code == 404

    client.post(ada.url("route-restore", route.pk))

    assert domain_snapshot("example.org").routes.match("hi").route.route_id == route.pk


def test_a_route_that_has_lost_its_place_is_not_restored(ada):
    route = remove_route(tenant=ada.tenant, address="hi@example.org", actor="test")
    ada.has_route("hi@example.org", "other@away.example")
    client = ada.client()

    answer = client.post(ada.url("route-restore", route.pk))

    assert "already" in text_of(client.get(answer["Location"]))


def test_a_destination_is_asked_again_within_the_limits(ada):
    new_route(ada)
    with tenant_schema(ada.tenant.pk):
        destination = Destination.objects.get(address="new@away.example")
    client, url = ada.client(), ada.url("destination-ask", destination.pk)
    assert "once a day and three times in all" in text_of(client.get(url))

    answer = client.post(url)

    assert "was asked within the last day" in text_of(client.get(answer["Location"]))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["*", "hi", "sales"]),
        ("?q=SALES", ["sales"]),
        ("?q=rest@away", ["*"]),
        ("?q=friends", ["hi"]),
        ("?q=nothing", []),
        ("?domain=example.org&q=hi@example", ["hi"]),
        ("?state=on", ["*", "hi"]),
        ("?state=unconfirmed", ["sales"]),
        ("?state=made-up", ["*", "hi", "sales"]),
        ("?q=%0d%0a", ["*", "hi", "sales"]),
    ],
)
def test_the_list_is_searched_and_narrowed(ada, query, found):
    ada.has_route("*@example.org", "rest@away.example")
    ada.has_route("sales@example.org", "shop@away.example", confirmed=False)
    edit(ada, note="for friends")

    answer = ada.client().get(ada.url("routes") + query)

    assert sorted(row.route.pattern for row, _ in answer.context["rows"]) == found


def test_the_list_tells_of_thirty_days(ada):
    now = timezone.now()
    with tenant_schema(ada.tenant.pk):
        route = Route.objects.get()
        for back, delivered in ((0, 3), (29, 4), (30, 50)):
            day = (now - timezone.timedelta(days=back)).date()
            RouteDay.objects.create(
                route_id=route.pk, day=day, delivered=delivered, failed=1, last_at=now
            )

    row, counts = ada.client().get(ada.url("routes")).context["rows"][0]

    assert (counts.delivered, counts.failed, counts.last_used_at) == (7, 2, now)
    chart = ada.client().get(ada.url("route", row.route.pk)).context["chart"]
    assert chart.totals == (7, 0, 2)
    assert chart.bars[0].values == (4, 0, 1)


def seeded(person, routes):
    with tenant_schema(person.tenant.pk):
        domain = Domain.objects.get()
        made = Route.objects.bulk_create(
            Route(domain=domain, pattern=f"u{n:05}", pattern_key=f"u{n:05}", note="x" * 60)
            for n in range(routes)
        )
        friend = Destination.objects.get()
        RouteDestination.objects.bulk_create(
            RouteDestination(route=one, destination=friend) for one in made
        )


def test_a_long_list_comes_in_pages_of_fifty(ada, django_assert_max_num_queries):
    seeded(ada, 120)
    client, seen, url = ada.client(), [], ada.url("routes")
    while url:
        with django_assert_max_num_queries(12):
            answer = client.get(url)
        assert len(answer.content) < 60_000
        seen += [row.route.pattern for row, _ in answer.context["rows"]]
        after = answer.context["slice"].after
        url = f"{ada.url('routes')}?after={after}" if after else ""

    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) == 121


def test_a_viewer_sees_and_changes_nothing(ada, ben):
    route = route_of(ada)
    client = ben.client()

    assert "hi@example.org" in text_of(client.get(ada.url("routes")))
    page = text_of(client.get(ada.url("route", route.pk)))
    assert "Delete" not in page
    for name in ("route-edit", "route-pause", "route-resume", "route-delete", "route-test"):
        assert client.post(ada.url(name, route.pk)).status_code == 403
    assert client.post(ada.url("route-add")).status_code == 403


def test_mallory_sees_404(ada, mallory):
    route = route_of(ada)
    client = mallory.client()

    assert client.get(ada.url("route", route.pk)).status_code == 404
    for name in ("route", "route-edit", "route-delete", "route-restore", "route-test"):
        assert client.get(mallory.url(name, route.pk)).status_code == 404
        assert client.get(mallory.url(name, 2**70)).status_code == 404
    assert client.get(mallory.url("destination-ask", 2**70)).status_code == 404


def test_what_people_wrote_cannot_run_or_hide(ada):
    hostile = "<script>alert(1)</script> \u202egnp.exe"
    with tenant_schema(ada.tenant.pk):
        Route.objects.update(note=hostile)

    for url in (ada.url("routes"), ada.url("route", route_of(ada).pk)):
        text = text_of(ada.client().get(url))
        assert "<script" not in text
        assert "\u202e" not in text
