"""From one tenant to another, both hosted here: by the same rules, and without the world."""

from __future__ import annotations

import pytest
from django.conf import settings

from delivery.hosted import HostedFirst
from delivery.models import Delivery, DeliveryEvent, Message
from delivery.next_hop import Smarthost
from delivery.transport.values import Outcome, Stage
from mail.plan import Direction
from mail.retry import OutcomeClass
from mail.srs import encode_srs
from mxax.setting_values import HostPort
from tests.delivery.conftest import eventually

FORWARD, SERVICE = settings.ENV.forward_domain, settings.ENV.service_domain


class LeadsBack:
    async def resolve(self, domain):
        return Outcome(OutcomeClass.PERMANENT, Stage.LOCAL, "550 5.4.6 ours", enhanced="5.4.6")


@pytest.fixture
def here(queue, sink, sending):
    """Starts a loop that knows what is hosted here; all else goes to the sink."""

    from smtp_edge.inside import InsideReception

    made = []

    def reception():
        made.append(InsideReception.from_settings())
        return made[-1]

    def start(outside=None, **more):
        smarthost = outside or Smarthost.at(HostPort("127.0.0.1", sink.port))
        return sending(
            sink.port,
            resolver=lambda: HostedFirst(reception(), smarthost),
            **more,
        )

    yield start
    for one in made:
        one.close()


@pytest.fixture
def cast(transactional_db, ada, mallory):
    """Each has a domain and a route; Ada's leads to Mallory's."""
    ada.has_domain("ada.example")
    mallory.has_domain("mallory.example")
    mallory.has_route("m@mallory.example", "away@far.example")
    return ada, mallory


def test_mail_for_another_tenant_arrives_at_his_destination(cast, queue, sink, here):
    ada, mallory = cast
    queue.accept("m@mallory.example", tenant_id=ada.tenant.pk)

    here()

    eventually(queue.is_empty)
    (arrival,) = sink.arrivals
    assert arrival.recipient == "away@far.example"
    assert arrival.octets.count(b"X-Mxax-Route:") == 2
    assert arrival.octets.count(b"Received:") == 2
    accepted = DeliveryEvent.objects.filter(kind="accepted").values_list("tenant_id", flat=True)
    assert list(accepted.order_by("id")) == [ada.tenant.pk, mallory.tenant.pk]
    assert queue.events()[0]["next_hop"] == "inside"


def test_the_reverse_path_stays_the_authors(cast, queue, sink, here):
    """A return goes straight back to him, not through the first tenant as well."""
    queue.accept("m@mallory.example")

    here()

    eventually(queue.is_empty)
    assert f"=author.example=carol@{FORWARD}>" in sink.arrivals[0].mail
    assert "SRS0=" in sink.arrivals[0].mail


def test_whether_the_author_may_be_told_is_remembered(cast, queue, sink, here):
    sink.script["RCPT"] = ["451 later"] * 2
    queue.accept("m@mallory.example", authenticated=True)
    queue.accept("m@mallory.example", authenticated=False)

    here()
    eventually(lambda: len(queue.events()) == 4)

    assert sorted(Message.objects.values_list("authenticated", flat=True)) == [False, True]


@pytest.mark.parametrize(
    ("recipient", "state", "reason"),
    [
        ("nobody@mallory.example", Delivery.State.FAILED, "5.1.1"),
        ("wait@mallory.example", Delivery.State.QUEUED, "4.2.1"),
    ],
)
def test_what_the_mx_would_refuse_is_refused(cast, queue, sink, here, recipient, state, reason):
    cast[1].has_route("wait@mallory.example", "x@far.example", confirmed=False)
    Message.objects.all().delete()  # the request to confirm
    queue.accept(recipient)

    here()
    eventually(queue.events)

    (delivery,) = queue.deliveries()
    assert (delivery.state, queue.events()[0]["reason"]) == (state, reason)
    assert sink.connections == 0


def test_a_circle_over_two_tenants_ends(cast, queue, sink, here):
    ada, mallory = cast
    ada.has_route("a@ada.example", "round@mallory.example")
    mallory.has_route("round@mallory.example", "a@ada.example")
    queue.accept("round@mallory.example", tenant_id=ada.tenant.pk)

    here()
    eventually(lambda: not Delivery.objects.exclude(state=Delivery.State.FAILED).exists())

    assert queue.deliveries()[0].last_reply.startswith("554 5.4.6 ")
    assert len(queue.events()) <= 4
    assert sink.connections == 0


def test_our_own_notices_reach_hosted_addresses(cast, queue, sink, here):
    """The MX refuses authors in our own names from outside; this is not outside."""
    header = b"From: postmaster@" + SERVICE.encode() + b"\r\nSubject: Confirm\r\n"
    queue.accept(
        "m@mallory.example", header=header, direction=Direction.NOTICE, tenant_id=None,
        reverse_path="", outgoing_path="",
    )  # fmt: skip

    here()

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1


def test_a_dsn_to_an_srs_address_of_ours_comes_back_as_a_return(cast, queue, sink, here):
    from django.utils import timezone

    srs = encode_srs(
        "carol@author.example",
        secrets=settings.ENV.srs_secrets,
        today=timezone.now().date(),
        domain=FORWARD,
    )
    queue.accept(srs, direction=Direction.NOTICE, tenant_id=None, reverse_path="", outgoing_path="")

    here()

    eventually(queue.is_empty)
    assert DeliveryEvent.objects.filter(kind="returned").exists() or Message.objects.count() == 0
    assert sink.arrivals == []


def test_a_domain_that_is_only_claimed_is_not_ours(cast, queue, sink, here):
    """Else whoever claims a provider's name would get its mail, or stop it."""
    cast[1].has_domain("provider.example", verified=False)
    queue.accept("someone@provider.example")

    here()

    eventually(queue.is_empty)
    assert sink.arrivals[0].recipient == "someone@provider.example"


def test_a_claimed_domain_that_points_at_us_already_is_waited_for(cast, queue, here):
    cast[1].has_domain("soon.example", verified=False)
    queue.accept("someone@soon.example")
    queue.accept("someone@stranger.example")

    here(outside=LeadsBack())
    eventually(lambda: len(queue.events()) == 2)

    states = {one.destination: one.state for one in queue.deliveries()}
    assert states == {
        "someone@soon.example": Delivery.State.QUEUED,
        "someone@stranger.example": Delivery.State.FAILED,
    }


def test_a_delivery_that_was_taken_over_hands_nothing_on(cast, queue, sink, here):
    """Settling and handing on are one transaction, and both need the lease."""
    from uuid import uuid4

    from django.db import transaction

    from delivery import sql
    from delivery.acceptance import KeptMessage
    from delivery.settle import Ending, settle
    from tests.delivery.conftest import a_message

    trace_id = queue.accept("m@mallory.example")
    (row,) = queue.deliveries()
    new = KeptMessage(a_message("away@far.example"), (b"From: x\r\n\r\n",), 0, 1)
    ending = Ending(row.pk, trace_id, uuid4(), None, handed_on=(new,))

    with transaction.atomic(), sql.queue_cursor() as cursor:
        assert settle(cursor, [ending]) == frozenset()

    assert [one.pk for one in queue.deliveries()] == [row.pk]


def test_a_large_message_is_handed_on_whole(cast, queue, sink, here):
    body = b"".join(b".%070d\r\n" % number for number in range(30_000))
    queue.accept("m@mallory.example", body=body)

    here()

    eventually(queue.is_empty)
    assert sink.arrivals[0].octets.endswith(body)


def test_a_database_that_is_away_for_a_moment_costs_no_attempt_and_no_five_minutes(
    cast, queue, sink, here, monkeypatch
):
    from delivery.hosted import ReceptionAway
    from smtp_edge.inside import InsideReception

    asked = []
    hosting = InsideReception.hosting

    async def away_once(self, domain):
        asked.append(domain)
        if len(asked) == 1:
            raise ReceptionAway("the database is away")
        return await hosting(self, domain)

    monkeypatch.setattr(InsideReception, "hosting", away_once)
    queue.accept("friend@far.example")

    here(timer_seconds=1.0)

    eventually(queue.is_empty)
    assert len(sink.arrivals) == 1
    assert DeliveryEvent.objects.filter(kind="attempted").count() == 1
