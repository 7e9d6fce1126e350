"""Two members decide about held mail, or change the lists, in one moment: neither fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from delivery import quarantine
from delivery.acceptance import KeptMessage, insert_messages
from delivery.models import Delivery, Message
from mail.plan import Hold, PlannedDelivery
from mail.policy.trust import ListKind
from routing.models import TrustEntry
from routing.services import trust
from routing.services.trust import EntryWanted, add_entry
from tenants.audit import Actor
from tenants.context import tenant_schema
from tests.at_once import during
from tests.delivery.conftest import BODY, HEADER, a_message

pytestmark = pytest.mark.django_db(transaction=True)
BEN = Actor("ben@ben.example")


@pytest.fixture(autouse=True)
def quiet_bell(monkeypatch):
    monkeypatch.setattr("delivery.bell.ring", lambda: None)


def held_for(ada, *recipients: str) -> list[int]:
    """A message in Ada's quarantine; gives its deliveries."""
    planned = tuple(
        PlannedDelivery(one, "friend@far.example", hold=Hold.QUARANTINE, hold_days=14)
        for one in recipients
    )
    plan = replace(a_message(), tenant_id=ada.tenant.pk, deliveries=planned)
    insert_messages([KeptMessage(plan, (HEADER + b"\r\n" + BODY,), 0, 1)])
    rows = Delivery.objects.filter(message_id=plan.trace_id).order_by("pk")
    return list(rows.values_list("pk", flat=True))


def test_an_author_is_let_in_while_somebody_else_is_put_on_the_list(ada, monkeypatch):
    (held,) = held_for(ada, "hi@ada.example")
    url, browser = ada.url("quarantined-allow", held), ada.client()

    def block() -> None:
        wanted = EntryWanted(ListKind.BLOCK, "spam.example")
        add_entry(tenant=ada.tenant, wanted=wanted, actor=BEN)

    assert during(monkeypatch, trust, block, lambda: browser.post(url)) == []
    assert Delivery.objects.get().state == Delivery.State.QUEUED
    with tenant_schema(ada.tenant.pk):
        assert TrustEntry.objects.count() == 2


def test_what_is_gone_meanwhile_lets_nobody_in(ada, monkeypatch):
    (held,) = held_for(ada, "hi@ada.example")
    url, browser = ada.url("quarantined-allow", held), ada.client()
    monkeypatch.setattr("panel.quarantine.deciding.services.release", lambda **_: 0)

    answer = browser.post(url, follow=True)

    assert "not in quarantine any more" in answer.content.decode()
    with tenant_schema(ada.tenant.pk):
        assert not TrustEntry.objects.exists()


def test_two_delete_what_came_for_two_recipients_of_one_message(ada, monkeypatch):
    (alone,) = held_for(ada, "hi@ada.example")
    one, other = held_for(ada, "hi@ada.example", "you@ada.example")

    def delete(*ids: int) -> None:
        quarantine.delete(tenant_id=ada.tenant.pk, delivery_ids=ids, actor=BEN)

    wrong = during(monkeypatch, quarantine, lambda: delete(other), lambda: delete(alone, one))

    assert wrong == []
    assert not Message.objects.exists()
