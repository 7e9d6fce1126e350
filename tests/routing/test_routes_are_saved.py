"""What a route may be, and what it does to the others."""

import pytest
from django.db import connection

from mail.facts import DomainStanding, LogLevel, RouteMode, TenantStanding
from mail.routes import How
from routing.models import AuditEntry, Destination, Domain, LogPolicy, Route, RouteDestination
from routing.selectors import domain_snapshot, route_lines
from routing.services import add_route, confirm_destination, remove_domain, remove_route, set_mode
from tenants.audit import first_break
from tenants.context import tenant_schema
from tenants.errors import RouteRefused, TenancyError, UnknownName
from tenants.models import Membership, Tenant, User
from tenants.services import suspend_tenant
from tests.timing import within_cpu

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    return ada


def route(person, address, *destinations, **more):
    return add_route(
        tenant=person.tenant, address=address, destinations=destinations, actor="test", **more
    )


def test_the_edge_sees_the_route(ada):
    ada.has_route("Hi@Example.ORG", "friend@destination.example", "buddy@destination.example")

    snapshot = domain_snapshot("example.org")
    match = snapshot.routes.match("HI+news")

    assert match.how is How.PLUS
    assert match.route.destinations == ("friend@destination.example", "buddy@destination.example")
    assert match.route.mode is RouteMode.ON
    assert snapshot.standing is DomainStanding.SERVED
    assert snapshot.tenant_standing is TenantStanding.ACTIVE
    assert snapshot.tenant_id == ada.tenant.pk
    assert snapshot.owner_addresses == ("ada@ada.example",)
    assert snapshot.forward_cap == 5000
    assert snapshot.log_level is LogLevel.METADATA
    assert connection.schema_name == "public"


def test_nobody_is_told_of_a_domain_that_is_not_here(ada):
    assert domain_snapshot("unknown.example") is None


def test_unconfirmed_destinations_are_counted_but_not_told(ada):
    ada.has_route("hi@example.org", "friend@destination.example", confirmed=False)
    assert domain_snapshot("example.org").routes.match("hi").route.destinations == ()
    assert domain_snapshot("example.org").routes.match("hi").route.unconfirmed == 1

    confirm_destination(tenant=ada.tenant, address="friend@destination.example", actor="test")

    target = domain_snapshot("example.org").routes.match("hi").route
    assert (target.destinations, target.unconfirmed) == (("friend@destination.example",), 0)


def test_a_pending_domain_tells_nothing(mallory, ada):
    mallory.has_domain("pending.example", verified=False)
    mallory.has_route("hi@pending.example", "friend@destination.example")

    snapshot = domain_snapshot("pending.example")

    assert snapshot.standing is DomainStanding.PENDING
    assert snapshot.routes.match("hi") is None
    assert snapshot.owner_addresses == ()
    assert snapshot.log_level is LogLevel.NOTHING


def test_a_pending_claim_hides_behind_the_verified_one(ada, mallory):
    mallory.has_domain("example.org", verified=False)

    assert domain_snapshot("example.org").tenant_id == ada.tenant.pk


def test_two_tenants_with_the_same_local_part_do_not_meet(ada, mallory):
    mallory.has_domain("example.net")
    ada.has_route("hi@example.org", "ada@destination.example")
    mallory.has_route("hi@example.net", "mallory@destination.example")

    def destinations(name):
        return domain_snapshot(name).routes.match("hi").route.destinations

    assert destinations("example.org") == ("ada@destination.example",)
    assert destinations("example.net") == ("mallory@destination.example",)


def test_a_suspended_tenant_is_seen_as_such(ada):
    suspend_tenant(tenant=ada.tenant, actor="test", for_abuse=True)

    assert domain_snapshot("example.org").tenant_standing is TenantStanding.ABUSIVE


def test_a_domains_own_log_level_wins(ada):
    with tenant_schema(ada.tenant.pk):
        LogPolicy.objects.create(domain=Domain.objects.get(name="example.org"), level=1)
    ada.has_domain("other.example")

    assert domain_snapshot("example.org").log_level is LogLevel.COUNTS
    assert domain_snapshot("other.example").log_level is LogLevel.METADATA


def test_only_owners_who_may_sign_in_get_postmaster_mail(ada):
    for email, role, active in (
        ("second@x.example", "owner", True),
        ("gone@x.example", "owner", False),
        ("viewer@x.example", "viewer", True),
    ):
        user = User.objects.create_user(email, is_active=active)
        Membership.objects.create(tenant=ada.tenant, user=user, role=role)

    owners = domain_snapshot("example.org").owner_addresses

    assert owners == ("ada@ada.example", "second@x.example")


def test_a_tenants_own_cap_counts_even_when_zero(ada):
    Tenant.objects.filter(pk=ada.tenant.pk).update(forward_cap=0)

    assert domain_snapshot("example.org").forward_cap == 0


@pytest.mark.parametrize("mode", [RouteMode.REFUSE, RouteMode.DEFER, RouteMode.DROP, RouteMode.ON])
def test_a_route_is_paused_in_three_ways(ada, mode):
    ada.has_route("hi@example.org", "friend@destination.example")

    set_mode(tenant=ada.tenant, address="hi@example.org", mode=mode, actor="test")

    assert domain_snapshot("example.org").routes.match("hi").route.mode is mode


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("hi@example.org", "HI@example.org"),
        ("hi@example.org", '"hi"@example.org'),
        ("a*@example.org", "*a@example.org"),
        ("a**b@example.org", "a*b@example.org"),
        ("*@example.org", "***@example.org"),
    ],
)
def test_a_tie_is_refused(ada, first, second):
    ada.has_route(first, "friend@destination.example")

    with pytest.raises(RouteRefused, match=r"already|ties"):
        route(ada, second, "friend@destination.example")

    assert len(route_lines(ada.tenant)) == 1


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "hi",
            "@example.org",
            "hi@",
            "a*b*c*d*@example.org",
            "hi@[127.0.0.1]",
            "x" * 65 + "@example.org",
        ),
        *("hi\r\nX: y@example.org", "hi\n@example.org", "h\0i@example.org", "hi%0d%0a@example.org"),
        *("hi\u2028@example.org", "hi@example.org\r\n.com", "a b@example.org"),
    ],
)
def test_what_is_no_address_is_refused(ada, address):
    with pytest.raises(TenancyError):
        route(ada, address, "friend@destination.example")


@pytest.mark.parametrize(
    "destination",
    [
        *(
            "",
            "friend",
            "friend@",
            "friend@localhost",
            "friend@[127.0.0.1]",
            "@x.example:a@b.example",
        ),
        *(
            "a@b.example\r\nBcc: c@d.example",
            "a@b.example\0",
            "a%0d%0a@b.example",
            "a\u2028b@c.example",
        ),
        *("x@mxax.test", "SRS0=abc@fwd.mxax.test", "x@sub.fwd.mxax.test", "x@FWD.mxax.test."),
    ],
)
def test_what_is_no_destination_is_refused(ada, destination):
    with pytest.raises(RouteRefused):
        route(ada, "hi@example.org", destination)


@pytest.mark.parametrize("note", ["a\r\nBcc: x@y.example", "a\nb", "a\0", "a\u2028b", "\x1b[31m"])
def test_a_note_is_one_line(ada, note):
    with pytest.raises(TenancyError, match="one line"):
        route(ada, "hi@example.org", "friend@destination.example", note=note)


def test_a_route_has_one_to_twenty_destinations(ada):
    many = [f"d{number}@destination.example" for number in range(21)]

    with pytest.raises(RouteRefused, match="20"):
        route(ada, "hi@example.org", *many)
    with pytest.raises(RouteRefused, match="needs a destination"):
        route(ada, "hi@example.org")
    route(ada, "hi@example.org", *many[:20], "d0@Destination.example")

    assert len(route_lines(ada.tenant)[0].unconfirmed) == 20


@pytest.mark.parametrize(
    "routes",
    [
        [("a@example.org", "a@example.org")],
        [("a@example.org", "A+x@EXAMPLE.org")],
        [("*@example.org", "anyone@example.org")],
        [("a@example.org", "b@example.org"), ("b@example.org", "a@example.org")],
        [
            ("a@example.org", "b@second.example"),
            ("b@second.example", "c@example.org"),
            ("c*@example.org", "a@example.org"),
        ],
    ],
)
def test_a_circle_is_refused_when_saved(ada, routes):
    ada.has_domain("second.example")
    *fine, closing = routes
    for address, destination in fine:
        ada.has_route(address, destination)

    with pytest.raises(RouteRefused, match="circle"):
        route(ada, *closing)

    assert len(route_lines(ada.tenant)) == len(fine)


def test_a_chain_is_no_circle(ada):
    ada.has_route("a@example.org", "b@example.org", "c@example.org")
    ada.has_route("b@example.org", "c@example.org")
    ada.has_route("c@example.org", "friend@destination.example")

    assert len(route_lines(ada.tenant)) == 3


def test_removing_a_route_may_not_close_a_circle(ada):
    ada.has_route("x@example.org", "friend@destination.example")
    ada.has_route("hi@example.org", "x@example.org")
    ada.has_route("*@example.org", "hi@example.org")

    with pytest.raises(RouteRefused, match="circle"):
        remove_route(tenant=ada.tenant, address="x@example.org", actor="test")

    assert len(route_lines(ada.tenant)) == 3


def test_a_route_needs_a_domain_of_the_tenants_own(ada, mallory):
    mallory.has_domain("example.net")

    with pytest.raises(UnknownName, match=r"example\.net"):
        route(ada, "hi@example.net", "friend@destination.example")
    with pytest.raises(UnknownName):
        remove_route(tenant=ada.tenant, address="hi@example.org", actor="test")


def test_a_removed_domain_is_unknown_at_once(ada):
    ada.has_route("hi@example.org", "friend@destination.example")

    remove_domain(tenant=ada.tenant, name="Example.org.", actor="test")

    assert domain_snapshot("example.org") is None
    with tenant_schema(ada.tenant.pk):
        assert not Route.objects.exists()


def test_every_change_is_in_the_tenants_audit(ada):
    ada.has_route("hi@example.org", "friend@destination.example")
    set_mode(tenant=ada.tenant, address="hi@example.org", mode=RouteMode.DROP, actor="test")
    remove_route(tenant=ada.tenant, address="hi@example.org", actor="test")

    with tenant_schema(ada.tenant.pk):
        actions = list(AuditEntry.objects.values_list("action", flat=True))
        assert first_break(AuditEntry) is None
        AuditEntry.objects.filter(action="route.mode").update(subject="other@example.org")
        broken = first_break(AuditEntry)
        assert broken == AuditEntry.objects.get(action="route.mode").pk

    assert actions[-4:] == ["destination.confirmed", "route.added", "route.mode", "route.removed"]


def test_an_entry_taken_out_of_the_audit_shows(ada):
    with tenant_schema(ada.tenant.pk):
        first, second, *_ = AuditEntry.objects.all()
        first.delete()

        assert first_break(AuditEntry) == second.pk
        assert first_break(AuditEntry, anchor=first.digest) is None


def test_a_snapshot_of_five_thousand_routes_is_quick(ada, django_assert_num_queries):
    with tenant_schema(ada.tenant.pk):
        domain = Domain.objects.get()
        destination = Destination.objects.create(address="d@x.example")
        routes = Route.objects.bulk_create(
            Route(domain=domain, pattern=f"user{n}", pattern_key=f"user{n}") for n in range(5000)
        )
        RouteDestination.objects.bulk_create(
            RouteDestination(route=one, destination=destination) for one in routes
        )
    domain_snapshot("example.org")

    with django_assert_num_queries(5 + 2):  # and the search path, there and back
        domain_snapshot("example.org")
    snapshot = within_cpu(lambda: domain_snapshot("example.org"), seconds=0.15)

    assert snapshot.routes.match("user4999")
