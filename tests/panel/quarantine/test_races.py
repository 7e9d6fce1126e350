"""Several people decide about one message at the same moment: one of them does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from delivery import quarantine
from delivery.models import Content, Delivery, DeliveryEvent
from delivery.quarantine_links import LinkAction, decide_by_link, decision_link
from tenants.audit import Actor
from tests.panel.quarantine.test_quarantine_pages import audit, quarantined, quiet_bell

__all__ = ["quiet_bell"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),
]
CROWD = 8


def at_once(act) -> list:
    """Everybody acts at the same moment, each on a connection of his own."""
    start = threading.Barrier(CROWD)

    def one(number: int):
        try:
            start.wait(30)
            return act(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(one, range(CROWD)))


def test_eight_who_release_at_once_send_it_once(ada):
    row = quarantined(ada)
    tenant_id, actor = ada.tenant.pk, Actor(ada.email)

    counts = at_once(
        lambda _: quarantine.release(tenant_id=tenant_id, delivery_ids=[row.pk], actor=actor)
    )

    assert sorted(counts) == [0] * (CROWD - 1) + [1]
    assert DeliveryEvent.objects.filter(kind="released").count() == 1
    assert audit(ada).count("quarantine.released") == 1


def test_of_those_who_release_and_those_who_delete_one_decides(ada):
    row = quarantined(ada)
    tenant_id, actor = ada.tenant.pk, Actor(ada.email)

    def act(number: int) -> int:
        do = quarantine.release if number % 2 else quarantine.delete
        return do(tenant_id=tenant_id, delivery_ids=[row.pk], actor=actor)

    counts = at_once(act)

    assert sum(counts) == 1
    left = Delivery.objects.filter(pk=row.pk, state=Delivery.State.QUEUED).exists()
    assert Content.objects.exists() == left


def test_what_was_decided_after_it_was_read_is_left_alone(ada, monkeypatch):
    row = quarantined(ada)
    tenant_id, actor = ada.tenant.pk, Actor(ada.email)
    stale = {row.message_id: (row.pk,)}
    quarantine.release(tenant_id=tenant_id, delivery_ids=[row.pk], actor=actor)
    monkeypatch.setattr(quarantine, "ids_of", lambda *_: stale)

    done = quarantine.delete(tenant_id=tenant_id, delivery_ids=[row.pk], actor=actor)

    assert done == 0
    assert Delivery.objects.get().state == Delivery.State.QUEUED
    assert "quarantine.deleted" not in audit(ada)


def test_a_link_pressed_eight_times_at_once_counts_once(ada):
    row = quarantined(ada)
    link = decision_link(
        LinkAction.RELEASE, tenant_id=ada.tenant.pk, user_id=ada.user.pk, delivery_id=row.pk
    )
    token = link.rstrip("/").rpartition("/")[2]

    done = at_once(lambda _: decide_by_link(LinkAction.RELEASE, token, client_ip=None))

    assert sorted(done) == [False] * (CROWD - 1) + [True]
