"""A paused route that holds: mail is taken, waits, and arrives when the route is on again."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.slow]


def held(service) -> int:
    return int(service.manage_json("queue", "status")["held"])


def test_mail_waits_while_the_route_is_paused_and_arrives_when_it_is_on(service):
    service.tenant("holda", "holda.example", ("hi@holda.example", "friend@away.example"))
    service.manage("route", "pause", "holda", "hi@holda.example", "--mode", "hold")

    trace_id = service.send("hi@holda.example", subject="held-for-a-while")

    service.wait_for(lambda: held(service) == 1, 10, "it to be held")
    assert service.caught_with("held-for-a-while") == []
    assert "its route is paused" in service.manage("queue", "list", "--hold", "route")
    assert "Nothing" in service.manage("queue", "list", "--hold", "quarantine")

    service.manage("route", "resume", "holda", "hi@holda.example")

    (caught,) = service.wait_caught("held-for-a-while")
    assert caught.forward_path == "friend@away.example"
    assert trace_id.encode() in caught.octets
    assert held(service) == 0
    kinds = service.wait_for(
        lambda: _delivered(service, trace_id), 10, "its story to end with the delivery"
    )
    assert kinds[:3] == ["accepted", "held", "released"]


def test_another_pause_lets_nothing_go_and_new_mail_is_refused(service):
    service.tenant("holdb", "holdb.example", ("hi@holdb.example", "friend@away.example"))
    service.manage("route", "pause", "holdb", "hi@holdb.example", "--mode", "hold")
    service.send("hi@holdb.example", subject="held-and-kept")

    service.manage("route", "pause", "holdb", "hi@holdb.example", "--mode", "refuse")

    def is_refused() -> bool:
        with service.smtp() as client:
            client.ehlo()
            client.mail("ada@author.example")
            return client.rcpt("hi@holdb.example")[0] == 550

    service.wait_for(is_refused, 10, "the new pause to be known")
    assert held(service) == 1
    assert service.caught_with("held-and-kept") == []


def _delivered(service, trace_id: str) -> list[str] | None:
    events = service.manage_json("trace", trace_id)
    kinds = [event["kind"] for event in events]
    return kinds if "attempted" in kinds else None
