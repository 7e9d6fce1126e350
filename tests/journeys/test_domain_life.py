"""A domain leaves: its mail stops at once, what is under way and what comes back still arrives."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.slow]


def rcpt(service, address: str, reverse_path: str = "ada@author.example") -> str:
    with service.smtp() as client:
        client.ehlo()
        client.mail(reverse_path)
        code, text = client.rcpt(address)
        return f"{code} {text.decode()}"


def answers(service, address: str, reply: str) -> None:
    service.wait_for(lambda: rcpt(service, address).startswith(reply), 3, f"{reply} for {address}")


def test_a_removed_domain_stops_at_once_and_returns_still_find_their_author(service):
    service.tenant("paula", "paula.example", ("hi@paula.example", "paula@away.example"))
    service.send("hi@paula.example", subject="before-the-end")
    (caught,) = service.wait_caught("before-the-end")

    service.manage("domain", "remove", "paula", "paula.example")

    answers(service, "hi@paula.example", "550 5.7.1")
    assert caught.reverse_path.startswith("SRS0=")
    assert rcpt(service, caught.reverse_path, "").startswith("250")


def test_a_transferred_domain_brings_nothing_of_its_former_owner(service):
    service.tenant("quinn", "quinn.example", ("hi@quinn.example", "quinn@away.example"))
    service.tenant("rosa", "rosa.example")
    answers(service, "hi@quinn.example", "250")

    service.manage("domain", "remove", "quinn", "quinn.example")
    service.manage("domain", "add", "rosa", "quinn.example", "--verified")

    answers(service, "hi@quinn.example", "550 5.1.1")
    service.manage("route", "add", "rosa", "hi@quinn.example", "rosa@away.example", "--confirmed")
    answers(service, "hi@quinn.example", "250")
    service.send("hi@quinn.example", subject="under-new-rule")
    (caught,) = service.wait_caught("under-new-rule")
    assert caught.forward_path == "rosa@away.example"


def test_a_deleted_tenant_stops_at_once(service):
    service.tenant("sara", "sara.example", ("hi@sara.example", "sara@away.example"))
    answers(service, "hi@sara.example", "250")

    service.manage("tenant", "delete", "sara", "--yes", "sara")

    answers(service, "hi@sara.example", "550 5.7.1")
