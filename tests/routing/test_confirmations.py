"""Nothing is forwarded to an address before its owner says so; nobody is pestered about it."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from django.db import close_old_connections, connection, transaction
from django.db.models import F
from django.utils import timezone

from delivery.content import unseal_chunk
from delivery.models import Content, Message
from routing.consents import asked_consent
from routing.models import AuditEntry, Destination
from routing.selectors import domain_snapshot
from routing.services import ask_again, confirm_destination
from routing.services.confirmations import (
    MOST_ASKED_A_DAY,
    Asked,
    LinkGone,
    block_by_owner,
    confirm_by_owner,
    stop_by_owner,
)
from tenants.context import tenant_schema
from tenants.errors import RouteRefused
from tenants.models import ContactedAddress
from tenants.services import suspend_tenant

pytestmark = pytest.mark.django_db

FRIEND = "friend@away.example"


@pytest.fixture(autouse=True)
def nobody_rings(monkeypatch):
    monkeypatch.setattr("delivery.notices.bell.ring", lambda: None)


@pytest.fixture(autouse=True)
def domains(ada, mallory):
    ada.has_domain("example.org")
    mallory.has_domain("you-won-visit-evil.example")


def letters():
    """What waits in the queue as notices, oldest first."""
    found = []
    for row in Message.objects.filter(direction="notice").order_by("id"):
        sealed = Content.objects.get(message_id=row.pk).octets
        octets = unseal_chunk(sealed, tenant_id=row.tenant_id, message_id=row.pk, number=0)
        found.append(message_from_bytes(octets, policy=policy.default))
    return found


def links(letter) -> dict[str, str]:
    """The token of each kind of link."""
    return dict(re.findall(r"https?://\S+/(confirm|not-me|stop)/(\S+)/", letter.get_content()))


def ask(person, destination=FRIEND, address="hi@example.org"):
    person.has_route(address, destination, confirmed=False)
    return links(letters()[-1])


def target(name="example.org"):
    return domain_snapshot(name).routes.match("hi").route


def a_day_passes():
    ContactedAddress.objects.update(last_asked_at=F("last_asked_at") - timedelta(hours=24))


def audited(person):
    with tenant_schema(person.tenant.pk):
        return list(AuditEntry.objects.values_list("action", "subject", "actor"))


def test_a_route_asks_the_owner_of_its_destination(ada):
    ada.has_route("hi@example.org", FRIEND, confirmed=False)

    (letter,) = letters()
    (row,) = Message.objects.all()
    assert letter["to"] == FRIEND
    assert letter["from"].addresses[0].domain == "mxax.test"
    assert letter["auto-submitted"] == "auto-generated"
    assert letter["date"].datetime.tzinfo is not None
    assert letter["message-id"].endswith("@mxax.test>")
    assert (row.direction, row.outgoing_path, row.tenant_id) == ("notice", "", ada.tenant.pk)
    assert set(links(letter)) == {"confirm", "not-me", "stop"}
    assert target().destinations == ()


def test_yes_lets_mail_flow(ada):
    token = ask(ada)["confirm"]

    confirm_by_owner(token, client_ip="192.0.2.7")

    assert target().destinations == (FRIEND,)
    assert ("destination.confirmed", FRIEND, "owner of the destination") in audited(ada)


def test_a_confirmed_destination_is_not_asked_again(ada):
    confirm_by_owner(ask(ada)["confirm"], client_ip=None)
    a_day_passes()

    ada.has_route("sales@example.org", FRIEND, confirmed=False)

    assert len(letters()) == 1


def test_another_address_has_to_be_confirmed_itself(ada):
    confirm_by_owner(ask(ada)["confirm"], client_ip=None)

    ada.has_route("sales@example.org", "other@away.example", confirmed=False)

    sales = domain_snapshot("example.org").routes.match("sales").route
    assert (sales.destinations, sales.unconfirmed) == ((), 1)
    assert letters()[-1]["to"] == "other@away.example"


def test_the_letter_holds_nothing_that_a_tenant_wrote(mallory):
    from routing.services import add_route

    add_route(
        tenant=mallory.tenant,
        address="visit-evil.com*@you-won-visit-evil.example",
        destinations=(FRIEND,),
        note="buy my pills",
        actor="test",
    )

    text = letters()[0].as_string() + letters()[0].get_content()
    for word in ("evil", "you-won", "pills", "mallory"):
        assert word not in text


def test_the_token_is_nowhere_in_the_database(ada):
    token = ask(ada)["confirm"]

    with tenant_schema(ada.tenant.pk):
        (row,) = Destination.objects.values()
    assert len(token.rsplit("-", 1)[1]) * 5 >= 128
    assert token.rsplit("-", 1)[1] not in str(row)
    assert len(row["ask_digest"]) == 32


def test_a_link_works_once(ada):
    tokens = ask(ada)
    confirm_by_owner(tokens["confirm"], client_ip=None)
    stop_by_owner(tokens["stop"], client_ip=None)

    with pytest.raises(LinkGone):
        confirm_by_owner(tokens["confirm"], client_ip=None)
    assert target().destinations == ()


def test_a_link_works_for_72_hours(ada):
    token = ask(ada)["confirm"]
    with tenant_schema(ada.tenant.pk):
        left = Destination.objects.get().ask_expires_at - timezone.now()
        assert timedelta(hours=71) < left <= timedelta(hours=72)
        Destination.objects.update(ask_expires_at=timezone.now())

    with pytest.raises(LinkGone):
        confirm_by_owner(token, client_ip=None)


def test_a_token_is_good_for_its_own_tenant_and_address_only(ada, mallory):
    mine = ask(ada)
    ada.has_route("two@example.org", "two@away.example", confirmed=False)
    mallory.has_route("hi@you-won-visit-evil.example", "three@away.example", confirmed=False)
    with tenant_schema(ada.tenant.pk):
        ids = list(Destination.objects.order_by("id").values_list("id", flat=True))
    with tenant_schema(mallory.tenant.pk):
        theirs = Destination.objects.get().pk
    secret = mine["confirm"].rsplit("-", 1)[1]

    for tenant_id, destination_id in (
        (ada.tenant.pk, ids[1]),
        (mallory.tenant.pk, theirs),
        (ada.tenant.pk, 10**9),
        (10**9, 1),
    ):
        with pytest.raises(LinkGone):
            confirm_by_owner(f"{tenant_id}-{destination_id}-{secret}", client_ip=None)
        with pytest.raises(LinkGone):
            stop_by_owner(f"{tenant_id}-{destination_id}-{secret}", client_ip=None)


@pytest.mark.parametrize("text", ["", "x", "1-1-" + "a" * 31, "1-1-" + "A" * 32, "٣-1-" + "a" * 32])
def test_what_cannot_be_a_token_is_none(ada, text):
    with pytest.raises(LinkGone):
        confirm_by_owner(text, client_ip=None)


def test_one_mail_a_day_and_a_new_link_voids_the_old(ada):
    first = ask(ada)
    assert ask_again(tenant=ada.tenant, address=FRIEND, actor="test") is Asked.NOT_NOW
    a_day_passes()

    assert ask_again(tenant=ada.tenant, address=FRIEND, actor="test") is Asked.YES

    second = links(letters()[-1])
    assert (second["stop"], second["not-me"]) == (first["stop"], first["not-me"])
    with pytest.raises(LinkGone):
        confirm_by_owner(first["confirm"], client_ip=None)
    confirm_by_owner(second["confirm"], client_ip=None)


def test_three_mails_in_all_over_all_tenants_in_any_spelling(ada, mallory):
    ask(ada)
    a_day_passes()
    mallory.has_route("hi@you-won-visit-evil.example", "Friend@AWAY.example", confirmed=False)
    a_day_passes()
    mallory.has_route("2@you-won-visit-evil.example", "friend+2@away.example", confirmed=False)
    a_day_passes()

    assert ask_again(tenant=ada.tenant, address=FRIEND, actor="test") is Asked.NOT_NOW
    mallory.has_route("3@you-won-visit-evil.example", "FRIEND+3@away.example", confirmed=False)

    assert len(letters()) == 3


def test_the_table_over_all_tenants_holds_no_readable_address(ada):
    ask(ada)

    with connection.cursor() as cursor:
        cursor.execute("SELECT c::text FROM tenants_contactedaddress c")
        text = "".join(row[0] for row in cursor).lower()
    assert "friend" not in text
    assert "away" not in text
    assert b"friend".hex() not in text


def test_a_tenant_asks_a_limited_number_of_people_a_day(ada):
    for number in range(MOST_ASKED_A_DAY // 10):
        people = [f"p{number}-{n}@away.example" for n in range(10)]
        ada.has_route(f"r{number}@example.org", *people, confirmed=False)

    ada.has_route("more@example.org", "more@away.example", confirmed=False)

    assert len(letters()) == MOST_ASKED_A_DAY


def test_a_suspended_tenant_asks_nobody(ada):
    suspend_tenant(tenant=ada.tenant, actor="test", for_abuse=True)

    ada.has_route("hi@example.org", FRIEND, confirmed=False)

    assert letters() == []


def test_not_me_is_for_good_and_for_all_tenants(ada, mallory):
    tokens = ask(ada)
    block_by_owner(tokens["not-me"], client_ip="192.0.2.7")
    a_day_passes()

    mallory.has_route("hi@you-won-visit-evil.example", "FRIEND@away.example", confirmed=False)

    assert len(letters()) == 1
    with pytest.raises(LinkGone):
        confirm_by_owner(tokens["confirm"], client_ip=None)
    with pytest.raises(RouteRefused, match="wants no mail"):
        confirm_destination(tenant=ada.tenant, address=FRIEND, actor="operator")
    with pytest.raises(RouteRefused, match="wants no mail"):
        mallory.has_route("2@you-won-visit-evil.example", FRIEND)
    assert ("destination.blocked", FRIEND, "owner of the destination") in audited(ada)


def test_not_me_voids_what_another_tenant_asked(ada, mallory):
    mine = ask(ada)
    a_day_passes()
    theirs = ask(mallory, address="hi@you-won-visit-evil.example")

    block_by_owner(theirs["not-me"], client_ip=None)

    with pytest.raises(LinkGone):
        confirm_by_owner(mine["confirm"], client_ip=None)


def test_the_owner_stops_it_later_and_the_tenant_can_read_that(ada):
    tokens = ask(ada)
    confirm_by_owner(tokens["confirm"], client_ip=None)

    stop_by_owner(tokens["stop"], client_ip="192.0.2.7")

    assert target().destinations == ()
    assert ("destination.stopped", FRIEND, "owner of the destination") in audited(ada)
    stop_by_owner(tokens["stop"], client_ip=None)
    assert [entry[0] for entry in audited(ada)].count("destination.stopped") == 1


def test_the_operators_word_needs_no_mail(ada):
    ada.has_route("hi@example.org", FRIEND)

    assert letters() == []
    assert target().destinations == (FRIEND,)


def test_nobody_is_asked_for_a_domain_that_is_not_proved(mallory):
    mallory.has_domain("somebodys.example", verified=False)
    mallory.has_route("hi@somebodys.example", FRIEND, confirmed=False)
    assert letters() == []
    assert ask_again(tenant=mallory.tenant, address=FRIEND, actor="test") is Asked.UNPROVED

    mallory.has_domain("somebodys.example")

    assert [letter["to"] for letter in letters()] == [FRIEND]


def test_the_page_names_proved_domains_only(mallory):
    mallory.has_domain("somebodys.example", verified=False)
    token = ask(mallory, address="hi@you-won-visit-evil.example")["confirm"]
    mallory.has_route("hi@somebodys.example", FRIEND, confirmed=False)

    assert asked_consent(token).domains == ("you-won-visit-evil.example",)


def test_a_route_that_is_refused_asks_nobody_and_takes_no_turn(ada):
    ada.has_route("hi@example.org", FRIEND)

    with pytest.raises(RouteRefused):
        ada.has_route("hi@example.org", "other@away.example", confirmed=False)

    assert letters() == []
    assert not ContactedAddress.objects.exists()


@pytest.mark.parametrize("bad", ["\r\nBcc: x@y.example", "\n", "\0", "\u2028", "%0d%0a x", "\x85"])
def test_no_field_of_a_route_can_bring_a_header_line(ada, bad):
    for address, destination in (
        (f"hi{bad}@example.org", FRIEND),
        ("hi@example.org", f"friend{bad}@away.example"),
        ("hi@example.org", f"friend@away.example{bad}"),
    ):
        try:
            ada.has_route(address, destination, confirmed=False)
        except RouteRefused:
            continue
        pytest.fail(f"{address!r} to {destination!r} was taken")
    assert letters() == []


@pytest.mark.django_db(transaction=True)
def test_many_tenants_at_once_send_one_mail(ada, mallory):
    barrier = threading.Barrier(4)

    def add(person, address):
        barrier.wait(10)
        try:
            person.has_route(address, FRIEND, confirmed=False)
        finally:
            close_old_connections()
            connection.close()

    threads = [
        threading.Thread(target=add, args=(person, f"{n}@{domain}"))
        for n in range(2)
        for person, domain in ((ada, "example.org"), (mallory, "you-won-visit-evil.example"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(letters()) == 1
    assert ContactedAddress.objects.get().asked == 1


def test_the_web_process_may_do_it_and_nothing_of_other_tenants(ada, mallory):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE mxax_web")
        ada.has_route("hi@example.org", FRIEND, confirmed=False)
        with tenant_schema(ada.tenant.pk):
            token = links(letters()[-1])["confirm"]
        confirm_by_owner(token, client_ip="192.0.2.7")
        with tenant_schema(mallory.tenant.pk):
            assert letters() == []
    assert target().destinations == (FRIEND,)
