"""What the copies of one transaction say, when its recipients are judged each in his own way."""

from dataclasses import replace

import pytest

from mail.authentication.values import DmarcPolicy, DmarcResult, DmarcVerdict
from mail.plan import Hold
from mail.policy.trust import ListEntry, ListKind, TrustPolicy
from tests.smtp_edge.listening import Checked, World, hosted, listening, route, spf_alone

LETTER = b"From: c@a.example\r\n\r\nhi\r\n"
BLOCKS_ON_TWO = TrustPolicy(
    entries=(ListEntry(1, ListKind.BLOCK, "a.example", route_id=2),), refuses_dmarc_reject=False
)


class Forged(World):
    """A world in which all mail fails under p=reject."""

    def begin(self, envelope) -> Checked:
        dmarc = DmarcVerdict(DmarcResult.FAIL, "a.example", DmarcPolicy.REJECT, "a.example")
        return Checked(replace(spf_alone(envelope.reverse_path), dmarc=dmarc))


@pytest.fixture
def kept():
    world = Forged()
    ada = (route(1, "hi", "ada@far.example"), route(2, "b", "ada@far.example"))
    world.host(
        hosted("ada.example", *ada, trust=BLOCKS_ON_TWO),
        hosted("bea.example", route(3, "in", "bea@far.example"), tenant_id=2),
    )
    with listening(world) as mx:
        client = mx.connect()
        client.mail("x@sender.example", "hi@ada.example", "b@ada.example", "in@bea.example")
        assert client.data(LETTER).startswith("250 ")
        client.close()
    return {one.plan.tenant_id: one.plan for one in world.kept}


def test_each_recipient_has_the_verdict_of_his_own_policy(kept):
    holds = {one.recipient: one.hold for plan in kept.values() for one in plan.deliveries}
    assert holds == {
        "hi@ada.example": Hold.NONE,
        "b@ada.example": Hold.QUARANTINE,
        "in@bea.example": Hold.QUARANTINE,
    }


def test_a_copy_tells_nobody_that_somebody_elses_was_held(kept):
    assert "dis=none" in kept[1].our_fields
    assert "dis=quarantine" in kept[2].our_fields
