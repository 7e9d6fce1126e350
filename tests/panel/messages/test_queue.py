"""The queue page: what waits, why, and trying it all again."""

import pytest

from delivery.models import Delivery
from routing.models import AuditEntry
from tenants.context import tenant_schema
from tests.delivery.test_queue_services import in_queue
from tests.panel.markup import faults

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]
State = Delivery.State


@pytest.fixture
def waiting(ada):
    for number in range(3):
        in_queue(ada.tenant, State.QUEUED, attempts=number + 1, minutes=30)
    Delivery.objects.update(next_hop="mx.far.example:25", last_reply="451 4.7.1 <b>Later</b>")
    in_queue(ada.tenant, State.HELD)
    in_queue(ada.tenant, State.FAILED)


def shown(person, **asked) -> str:
    response = person.client().get(person.url("queue"), asked)
    assert response.status_code == 200
    assert faults(response.content.decode()) == []
    return response.content.decode()


def test_what_waits_is_shown_with_its_reason_and_its_host(ada, waiting):
    text = shown(ada)

    assert "mx.far.example:25" in text
    assert "451 4.7.1 &lt;b&gt;Later&lt;/b&gt;" in text
    assert text.count("deferred") == 3
    assert "Try all now" in text


def test_held_and_failed_have_lists_of_their_own(ada, waiting):
    assert ">held<" in shown(ada, show="held")
    assert ">failed<" in shown(ada, show="failed")
    assert "Nothing waits" in shown(ada, show="waiting") or shown(ada, show="nonsense")


def test_everything_to_a_host_is_tried_again_at_once(ada, waiting):
    response = ada.client().post(
        ada.url("queue-retry"), {"next_hop": "mx.far.example:25"}, follow=True
    )

    assert "3 deliveries are tried again now." in response.content.decode()
    assert "deferred" not in shown(ada)
    with tenant_schema(ada.tenant.pk):
        entry = AuditEntry.objects.order_by("-id").first()
    assert (entry.action, entry.subject) == ("queue.retry", "mx.far.example:25")


def test_a_host_nobody_waits_for_is_said(ada, mallory, waiting):
    in_queue(mallory.tenant, State.QUEUED)
    Delivery.objects.filter(tenant_id=mallory.tenant.pk).update(next_hop="mx.other.example:25")

    response = ada.client().post(
        ada.url("queue-retry"), {"next_hop": "mx.other.example:25"}, follow=True
    )

    assert "Nothing waits for this host any more." in response.content.decode()


def test_a_viewer_may_look_and_not_act(ben, waiting):
    assert "Try all now" not in shown(ben)
    answer = ben.client().post(ben.url("queue-retry"), {"next_hop": "mx.far.example:25"})
    assert answer.status_code == 403


def test_mallory_sees_404_and_none_of_it(ada, mallory, waiting):
    assert mallory.client().get(ada.url("queue")).status_code == 404
    assert mallory.client().post(ada.url("queue-retry")).status_code == 404
    assert "far.example" not in shown(mallory)


def test_an_empty_queue_says_so(ada):
    for show, words in (("waiting", "Nothing waits"), ("held", "Nothing is held")):
        assert words in shown(ada, show=show)
