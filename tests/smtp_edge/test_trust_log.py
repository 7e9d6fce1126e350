"""What the process's own log says of mail that a policy refuses: the rule, and nobody's address."""

from structlog.testing import capture_logs

from mail.policy.trust import ListEntry, ListKind, TrustPolicy
from tests.smtp_edge.listening import World, hosted, listening, route


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
