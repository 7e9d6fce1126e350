"""What the logs say of mail that is judged: the tenant's all that rules ask for, ours no address."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from mail.authentication.values import (
    ArcResult,
    ArcSet,
    ArcVerdict,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
)
from mail.policy.trust import Action, ListEntry, ListKind, TrustPolicy
from mail.policy.trust_findings import Logged, facts_of
from mail.policy.trust_rules import judge_trust
from tests.smtp_edge.listening import Checked, World, hosted, listening, route, spf_alone


def test_a_listed_address_is_told_to_the_tenant_and_not_to_the_process_log():
    entry = ListEntry(1, ListKind.BLOCK, "mallory@blocked.example")
    world = World()
    trust = TrustPolicy(entries=(entry,))
    world.host(hosted("ada.example", route(1, "hi", "ada@far.example"), trust=trust))

    with capture_logs() as lines, listening(world) as mx:
        client = mx.connect()
        octets = b"From: mallory@blocked.example\r\n\r\nhi\r\n"
        reply = client.deliver(octets, "hi@ada.example", "x@sender.example")
        client.close()

    assert reply == "550 5.7.1 Message refused for reasons of policy"
    assert "mallory@blocked.example" in world.refusals[0].event.reason
    (line,) = [one for one in lines if one["event"] == "mail.refused"]
    assert line["rule"] == "blocked"
    assert "mallory" not in str(lines)


class Sealed(World):
    """All mail fails DMARC under p=reject, and a list's seal says that it passed there."""

    def begin(self, envelope) -> Checked:
        said = "lists.example; dmarc=pass header.from=bea.example"
        chain = ArcVerdict(ArcResult.PASS, (ArcSet(1, "lists.example", "s", said),), "", 1)
        dmarc = DmarcVerdict(DmarcResult.FAIL, "bea.example", DmarcPolicy.REJECT, "bea.example")
        return Checked(replace(spf_alone(envelope.reverse_path), arc=chain, dmarc=dmarc))


@pytest.mark.parametrize(
    ("domains", "then"),
    [(("ada.example", "bea.example"), Action.REFUSE), (("ada.example",), Action.ACCEPT)],
)
def test_a_trial_of_a_sealer_knows_whose_domain_is_served_here(domains, then):
    """Though nobody trusted any sealer when the mail came."""
    world = Sealed()
    for tenant_id, name in enumerate(domains, 1):
        world.host(hosted(name, route(1, "hi", "ada@far.example"), tenant_id=tenant_id))
    with listening(world) as mx:
        client = mx.connect()
        octets = b"From: bea@bea.example\r\n\r\nhi\r\n"
        assert client.deliver(octets, "hi@ada.example", "x@s.example").startswith("550 5.7.26")
        client.close()

    logged = Logged(
        datetime.now(UTC), "192.0.2.1", "x@s.example", "bea@bea.example", "ada.example", 1
    )
    trusting = TrustPolicy(trusted_sealers=("lists.example",))
    tried = judge_trust(facts_of(world.refusals[0].event.found, logged, trusting))

    assert tried.action is then
