"""The try-it page, and the test message that ends on its trace."""

import pytest

from delivery.models import Delivery, Message
from mail.facts import RouteMode
from mail.trace import parse_trace_id
from routing.models import Route
from routing.services import set_mode
from routing.services.trial_messages import MOST_AN_HOUR
from tenants.context import tenant_schema

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(ada):
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@away.example")
    return ada


def ask(person, address, **more):
    return person.client().get(person.url("routes-try"), {"address": address, **more})


def text_of(answer):
    return answer.content.decode()


def test_it_says_which_route_wins_and_where_mail_would_go(ada):
    ada.has_route("*@example.org", "rest@away.example")

    answer = ask(ada, "HI+news@example.org", author="bob@author.example")

    tried = answer.context["tried"]
    assert answer.context["row"].address == "hi@example.org"
    assert tried.match.how.value == "plus"
    assert [one.destination for one in tried.deliveries] == ["friend@away.example"]
    assert str(answer.context["reply"]).startswith("250")
    assert [rule.name for rule in answer.context["recipient_rules"]][-1] == "accept"
    assert "friend@away.example" in text_of(answer)
    assert Message.objects.filter(direction="forward").count() == 0


@pytest.mark.parametrize(
    ("mode", "reply"),
    [(RouteMode.REFUSE, "550"), (RouteMode.DEFER, "450"), (RouteMode.DROP, "250")],
)
def test_a_paused_route_answers_as_on_the_wire(ada, mode, reply):
    set_mode(tenant=ada.tenant, address="hi@example.org", mode=mode, actor="test")

    answer = ask(ada, "hi@example.org")

    assert str(answer.context["reply"]).startswith(reply)
    decided = [rule.name for rule in answer.context["recipient_rules"] if rule.decided]
    assert decided == ["paused_route"]
    assert answer.context["tried"].deliveries == ()


def test_an_unknown_address_an_unproved_domain_and_a_forged_author(ada):
    ada.has_domain("waiting.example", verified=False)

    assert str(ask(ada, "nobody@example.org").context["reply"]) == "550 5.1.1 No such mailbox here"
    assert str(ask(ada, "x@waiting.example").context["reply"]).startswith("450 4.7.1")
    forged = ask(ada, "hi@example.org", author="ceo@mxax.test")
    assert str(forged.context["reply"]).startswith("550 5.7.1")
    assert [r.name for r in forged.context["message_rules"] if r.decided] == ["forged_author"]


def test_a_bounce_may_be_tried(ada):
    answer = ask(ada, "hi@example.org", reverse_path="<>")

    assert str(answer.context["reply"]).startswith("250")


def test_nobody_learns_of_other_tenants(ada, mallory):
    for address in ("hi@example.org", "x@not-here.example", "x@mxax.test"):
        answer = ask(mallory, address)

        assert answer.status_code == 422
        assert "not one of yours" in text_of(answer)
        assert "friend@" not in text_of(answer)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "no address"),
        ("address", "a@[127.0.0.1]"),
        ("address", "a@example.org\r\nRCPT TO:<b@c.example>"),
        ("author", "x\0@y.example"),
        ("reverse_path", "not a path"),
    ],
)
def test_what_the_wire_would_refuse_is_refused_at_its_field(ada, field, value):
    answer = ask(ada, **{"address": "hi@example.org", field: value})

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]


def send_test(person, pattern="hi", client=None):
    with tenant_schema(person.tenant.pk):
        route = Route.objects.get(pattern=pattern)
    return (client or person.client()).post(person.url("route-test", route.pk))


def test_a_test_message_ends_on_its_trace(ada):
    client = ada.client()

    answer = send_test(ada, client=client)

    prefix, trace_id, _ = answer["Location"].rsplit("/", 2)
    assert prefix == ada.url("messages").rstrip("/")
    delivery = Delivery.objects.get(message_id=parse_trace_id(trace_id))
    assert (delivery.recipient, delivery.tenant_id) == ("hi@example.org", ada.tenant.pk)
    assert client.get(answer["Location"]).status_code == 200


def test_a_pattern_is_tested_by_an_address_it_takes(ada):
    ada.has_route("sales-*@example.org", "shop@away.example")

    send_test(ada, "sales-*")

    assert Delivery.objects.filter(recipient="sales-test@example.org").exists()


def test_a_route_in_the_shade_of_another_says_which(ada):
    ada.has_route("*@example.org", "rest@away.example")
    ada.has_route("test@example.org", "exact@away.example")
    client = ada.client()

    answer = send_test(ada, "*", client)

    assert "goes to the route test@example.org" in text_of(client.get(answer["Location"]))


def test_no_test_leaves_for_a_domain_that_is_not_proved(ada, mallory):
    mallory.has_domain("victim.example", verified=False)
    mallory.has_route("boss@victim.example", "x@away.example")
    before = Message.objects.count()
    client = mallory.client()

    answer = send_test(mallory, "boss", client)

    assert "not served here" in text_of(client.get(answer["Location"]))
    assert Message.objects.count() == before


def test_ten_tests_an_hour(ada):
    client = ada.client()
    before = Message.objects.count()
    for _ in range(MOST_AN_HOUR + 2):
        answer = send_test(ada, client=client)

    assert "try again later" in text_of(client.get(answer["Location"]))
    assert Message.objects.count() == before + MOST_AN_HOUR
