"""The audit on pages: newest first, filtered, in words, and whether it is whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from panel.people.audit_text import Change, changes_of, words_of
from routing.models import AuditEntry
from routing.services import remove_domain
from tenants.audit import Actor, record_in_tenant
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.models import SupportGrant, User

pytestmark = pytest.mark.django_db


def records(person, action: str, subject: str, *, who: str = "ada@ada.example", **values) -> None:
    with tenant_schema(person.tenant.pk):
        record_in_tenant(action, subject, actor=Actor(who, 1, "192.0.2.9"), **values)


def audit(person, query: str = "") -> str:
    answer: Any = person.client().get(person.url("audit") + query)
    assert answer.status_code == 200
    html: str = answer.content.decode()
    assert "<script" not in html
    return html


def test_entries_are_shown_newest_first_with_who_when_where_and_what(ada):
    records(ada, "member.role", "ben@ben.example", old={"role": "viewer"}, new={"role": "admin"})

    html = audit(ada)

    for text in ("role changed", "ben@ben.example", "192.0.2.9", "role: viewer → admin"):
        assert text in html
    assert html.index("role changed") < html.index("tenant made")


def test_filters_are_in_the_address(ada):
    records(ada, "route.added", "hi@example.org")
    records(ada, "domain.claimed", "example.org", who="ben@ben.example")

    assert "hi@example.org" in audit(ada, "?kind=route.")
    assert "domain added: example.org" not in audit(ada, "?kind=route.")
    assert "domain added: example.org" in audit(ada, "?who=BEN@")
    assert "route added" not in audit(ada, "?who=BEN@")
    assert "No entry fits" in audit(ada, "?since=2999-01-01")
    assert "route added" in audit(ada, "?until=9999-12-31")
    assert "route added" in audit(ada, "?subject=hi@")


@pytest.mark.parametrize(
    "query",
    ["?since=nonsense", "?kind=x'--", "?who=%00", "?after=!!!", "?before=W10", "?after=WzFd"],
)
def test_nonsense_in_the_address_is_answered(ada, query):
    audit(ada, query)


def test_fifty_to_a_page(ada, django_assert_max_num_queries):
    for number in range(120):
        records(ada, "route.added", f"r{number}@example.org")
    client = ada.client()

    with django_assert_max_num_queries(12):
        first = client.get(ada.url("audit")).content.decode()
    assert first.count("route added") == 50
    assert len(first) < 60_000
    after = first.split("after=")[1].split('"')[0]
    second = audit(ada, f"?after={after}")
    assert "r69@example.org" in second
    assert "r70@example.org" not in second


def test_support_is_always_shown(ada):
    assert "never looked" in audit(ada)
    sam = User.objects.create_user("sam@service.example", is_staff=True)
    now = database_now()
    for hours in (0, 100):
        at = now - timedelta(hours=hours)
        SupportGrant.objects.create(
            tenant=ada.tenant,
            staff=sam,
            reason=f"Ticket {hours}",
            starts_at=at,
            ends_at=at + timedelta(minutes=30),
        )

    html = audit(ada, "?kind=route.")  # whatever is filtered
    for text in ("Ticket 0", "Ticket 100", ">now<"):
        assert text in html


def test_a_long_chain_is_looked_at_in_parts(ada, monkeypatch):
    monkeypatch.setattr("panel.people.audit.SECONDS", 0.0)
    ada.has_domain("example.org")
    client, url = ada.client(), ada.url("audit-chain")

    seen = [client.get(url)]
    while "Look at the next" in seen[-1].content.decode() and len(seen) < 20:
        seen.append(client.get(f"{url}?after={seen[-1].context['seen'].last}"))

    texts = [one.content.decode() for one in seen]
    assert len(texts) > 2
    assert all("The audit is whole so far" in text for text in texts[:-1])
    assert "so far" not in texts[-1]
    for wrong in ("x", "-1", "9" * 30, "", "0"):
        assert client.get(f"{url}?after={wrong}").status_code == 404


def test_a_whole_chain_and_a_broken_one(ada):
    client = ada.client()
    assert "The audit is whole" in client.get(ada.url("audit-chain")).content.decode()
    with tenant_schema(ada.tenant.pk):
        AuditEntry.objects.update(actor="nobody")

    html = client.get(ada.url("audit-chain")).content.decode()
    assert "The audit is not whole" in html


def test_mallory_sees_404_and_a_viewer_may_look(ada, ben, mallory):
    for name in ("audit", "audit-chain"):
        assert mallory.client().get(ada.url(name)).status_code == 404
        assert ben.client().get(ada.url(name)).status_code == 200


def test_hostile_text_stays_text(ada):
    records(
        ada,
        "route.changed",
        "<script>alert(1)</script>",
        old={"note": "\u202egnp.exe"},
        new={"note": "<img src=x onerror=y>"},
    )

    html = audit(ada)
    assert "<img src=x" not in html
    assert "\u202e" not in html


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ({"role": "a"}, {"role": "b"}, [Change("role", "a", "b")]),
        ({"role": "a", "x": 1}, {"role": "b", "x": 1}, [Change("role", "a", "b")]),
        (None, {"is_on": True, "none": None}, [Change("is on", "", "yes")]),
        (
            {"state": "a", "by": "x"},
            {"by": "y"},
            [Change("state", "a", ""), Change("by", "x", "y")],
        ),
        ({"until": "x"}, {"until": None}, [Change("until", "x", "–")]),
        ({"is_on": False}, None, [Change("is on", "no", "")]),
        (None, ["a", "b"], [Change("value", "", "a, b")]),
        (None, {"at": "2026-11-22T08:40:01.5Z"}, [Change("at", "", "22 Nov 2026, 08:40 UTC")]),
        (None, {"at": "2026-99-99T99:99:99Z"}, [Change("at", "", "2026-99-99T99:99:99Z")]),
        (None, None, []),
    ],
)
def test_changes_in_words(old, new, seen):
    assert changes_of(old, new) == seen


def test_an_action_without_words_of_its_own_is_readable():
    assert words_of("dkim_key.made") == "DKIM key made"
    assert words_of("odd") == "odd"


def test_states_and_answers_are_told_in_words(ada):
    ada.has_domain("example.org", verified=False)
    ada.has_route("hi@example.org", "friend@away.example", confirmed=False)
    remove_domain(tenant=ada.tenant, name="example.org", actor="test")

    html = audit(ada)

    assert "state: was waiting for proof" in html
    assert "result: no confirmation mail was sent yet: it goes out when" in html
    for raw in ("pending", " before<", "UNPROVED", "YES"):
        assert raw not in html
