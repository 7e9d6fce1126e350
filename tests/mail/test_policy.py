"""The two policies as tables: each rule with its reply, and which one is asked before which."""

from dataclasses import replace

import pytest

from mail.address import Address
from mail.facts import (
    DomainSnapshot,
    DomainStanding,
    LogLevel,
    MessageFacts,
    OwnName,
    RecipientFacts,
    ReturnFault,
    ReturnPath,
    RouteMode,
    RouteTarget,
    TenantStanding,
)
from mail.plan import Hold
from mail.policy.message import judge_message
from mail.policy.recipient import deliveries_of, judge_recipient
from mail.routes import RouteTable


def snapshot(**changes) -> DomainSnapshot:
    target = changes.pop("target", RouteTarget(1, "hi", RouteMode.ON, ("friend@there.example",)))
    values = {
        "name": "example.org",
        "standing": DomainStanding.SERVED,
        "tenant_id": 1,
        "tenant_standing": TenantStanding.ACTIVE,
        "owner_addresses": ("ada@ada.example", "ben@ben.example"),
        "routes": RouteTable.build([(target.pattern, target)]),
        "forward_cap": 10,
        "log_level": LogLevel.METADATA,
        **changes,
    }
    return DomainSnapshot(**values)


def facts(local_part="hi", snapshot=None, **changes) -> RecipientFacts:
    return RecipientFacts(
        text=f"<{local_part}@example.org>",
        reverse_path="bob@sender.example",
        address=Address(local_part, "example.org"),
        snapshot=snapshot,
        match=snapshot.routes.match(local_part) if snapshot else None,
        **changes,
    )


def paused(mode: RouteMode) -> DomainSnapshot:
    return snapshot(target=RouteTarget(1, "hi", mode, ("friend@there.example",)))


CATCH_ALL = RouteTarget(1, "*", RouteMode.ON, ("friend@there.example",))
UNCONFIRMED = RouteTarget(1, "hi", RouteMode.ON, (), unconfirmed=1)
OWN = {"own_name": OwnName.FORWARD, "operator_address": "op@there.example"}

REPLIES = [
    ("a route matches", facts(snapshot=snapshot()), "250 2.1.5", "accept"),
    ("unknown domain", facts(), "550 5.7.1", "unknown_domain"),
    ("unknown address", facts("nobody", snapshot()), "550 5.1.1", "unknown_address"),
    (
        "no mailbox at all",
        replace(facts(snapshot=snapshot()), address=None),
        "550 5.7.1",
        "source_route_or_literal",
    ),
    ("percent hack", facts("u%x.example", snapshot()), "550 5.7.1", "routed_local_part"),
    (
        "percent hack on a catch-all",
        facts("u%x.example", snapshot(target=CATCH_ALL)),
        "550 5.7.1",
        "routed_local_part",
    ),
    (
        "a route that means its percent sign",
        facts("50%off", snapshot(target=replace(CATCH_ALL, pattern="50%off"))),
        "250 2.1.5",
        "accept",
    ),
    (
        "domain not proved yet",
        facts(snapshot=snapshot(standing=DomainStanding.PENDING)),
        "450 4.7.1",
        "unverified_domain",
    ),
    (
        "proof lost",
        facts(snapshot=snapshot(standing=DomainStanding.FADING)),
        "450 4.7.1",
        "fading_domain",
    ),
    (
        "suspended",
        facts(snapshot=snapshot(tenant_standing=TenantStanding.SUSPENDED)),
        "450 4.2.1",
        "suspended_tenant",
    ),
    (
        "suspended for abuse",
        facts(snapshot=snapshot(tenant_standing=TenantStanding.ABUSIVE)),
        "550 5.7.1",
        "suspended_tenant",
    ),
    ("over the cap", facts(snapshot=snapshot(), accepted_today=10), "450 4.7.1", "over_rate"),
    ("under the cap", facts(snapshot=snapshot(), accepted_today=9), "250 2.1.5", "accept"),
    ("paused: refuse", facts(snapshot=paused(RouteMode.REFUSE)), "550 5.1.1", "paused_route"),
    ("paused: defer", facts(snapshot=paused(RouteMode.DEFER)), "450 4.2.1", "paused_route"),
    ("paused: hold", facts(snapshot=paused(RouteMode.HOLD)), "250 2.1.5", "paused_route"),
    (
        "paused: hold, and nobody confirmed",
        facts(snapshot=snapshot(target=replace(UNCONFIRMED, mode=RouteMode.HOLD))),
        "450 4.2.1",
        "unconfirmed_destination",
    ),
    ("paused: drop", facts(snapshot=paused(RouteMode.DROP)), "250 2.1.5", "paused_route"),
    (
        "nobody confirmed",
        facts(snapshot=snapshot(target=UNCONFIRMED)),
        "450 4.2.1",
        "unconfirmed_destination",
    ),
    ("postmaster", facts("PostMaster", snapshot()), "250 2.1.5", "reserved_mailbox"),
    (
        "abuse of a suspended tenant",
        facts("abuse", snapshot(tenant_standing=TenantStanding.SUSPENDED)),
        "250 2.1.5",
        "reserved_mailbox",
    ),
    (
        "postmaster of a domain not proved yet",
        facts("postmaster", snapshot(standing=DomainStanding.PENDING)),
        "450 4.7.1",
        "unverified_domain",
    ),
    ("our own postmaster", facts("postmaster", **OWN), "250 2.1.5", "own_mailbox"),
    (
        "our own postmaster without operator",
        facts("abuse", own_name=OwnName.SERVICE),
        "450 4.2.1",
        "own_mailbox",
    ),
    ("nobody of ours", facts("root", **OWN), "550 5.1.1", "own_mailbox"),
    (
        "a return",
        facts("SRS0=x", returned=ReturnPath("bob@sender.example"), **OWN),
        "250 2.1.5",
        "returned_mail",
    ),
    *(
        (
            f"a return that is {fault.value}",
            facts("SRS0=x", returned=fault, **OWN),
            "550 5.1.1",
            "returned_mail",
        )
        for fault in ReturnFault
    ),
]


@pytest.mark.parametrize(
    ("given", "reply", "rule"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES]
)
def test_each_situation_has_its_reply_and_its_rule(given, reply, rule):
    judgement = judge_recipient(given)

    assert str(judgement.reply).startswith(reply)
    assert judgement.rule == rule
    assert judgement.trail[-1] == rule


def test_the_trail_names_every_rule_that_was_asked():
    judgement = judge_recipient(facts("nobody", snapshot()))

    assert judgement.trail[:2] == ("source_route_or_literal", "unknown_domain")
    assert judgement.trail[-1] == "unknown_address"
    assert "paused_route" not in judgement.trail


def destinations(given: RecipientFacts) -> list[str]:
    return [one.destination for one in deliveries_of(given, judge_recipient(given))]


def test_mail_goes_where_its_route_says():
    assert destinations(facts(snapshot=snapshot())) == ["friend@there.example"]


def test_mail_for_a_reserved_mailbox_goes_to_every_owner():
    assert destinations(facts("postmaster", snapshot())) == ["ada@ada.example", "ben@ben.example"]


def test_a_working_route_that_names_postmaster_goes_first():
    target = RouteTarget(5, "postmaster", RouteMode.ON, ("else@there.example",))

    assert destinations(facts("postmaster", snapshot(target=target))) == ["else@there.example"]


@pytest.mark.parametrize(
    "target",
    [
        CATCH_ALL,
        RouteTarget(5, "postmaster", RouteMode.REFUSE, ("else@there.example",)),
        RouteTarget(5, "postmaster", RouteMode.ON, (), unconfirmed=1),
    ],
    ids=["catch-all", "paused", "unconfirmed"],
)
def test_a_route_that_does_not_name_it_or_does_not_work_leaves_it_to_the_owner(target):
    assert destinations(facts("postmaster", snapshot(target=target)))[0] == "ada@ada.example"


def test_dropped_mail_goes_nowhere():
    assert destinations(facts(snapshot=paused(RouteMode.DROP))) == []


def test_held_mail_is_planned_as_ever_and_kept_back_for_a_week():
    given = facts(snapshot=paused(RouteMode.HOLD))

    planned = deliveries_of(given, judge_recipient(given))

    assert [one.destination for one in planned] == destinations(facts(snapshot=snapshot()))
    assert {(one.hold, one.hold_days, one.route_id is None) for one in planned} == {
        (Hold.ROUTE, 7, False)
    }


def test_a_return_goes_to_the_reverse_path_behind_it():
    given = facts("SRS0=x", returned=ReturnPath("bob@sender.example"), **OWN)

    assert destinations(given) == ["bob@sender.example"]


def test_mail_for_our_own_names_goes_to_the_operator():
    assert destinations(facts("abuse", **OWN)) == ["op@there.example"]


LETTER = MessageFacts(
    reverse_path="bob@sender.example",
    author_domains=("sender.example",),
    own_domains=("mxax.test", "fwd.mxax.test"),
    received_count=3,
    header_octets=900,
    size_octets=6000,
    carries_our_marker=False,
    has_return_recipient=False,
    is_automatic=False,
)

MESSAGES = [
    ("a letter", {}, "250 2.0.0"),
    ("author in our service domain", {"author_domains": ("mxax.test",)}, "550 5.7.1"),
    ("author below it", {"author_domains": ("a.b.mxax.test",)}, "550 5.7.1"),
    ("one of several authors", {"author_domains": ("a.example", "fwd.mxax.test")}, "550 5.7.1"),
    ("author that only ends like us", {"author_domains": ("notmxax.test",)}, "250 2.0.0"),
    ("authors nobody would read", {"author_domains": None}, "550 5.6.0"),
    ("no author", {"author_domains": ()}, "250 2.0.0"),
    ("49 hops", {"received_count": 49}, "250 2.0.0"),
    ("50 hops", {"received_count": 50}, "250 2.0.0"),
    ("51 hops", {"received_count": 51}, "554 5.4.6"),
    ("been here before", {"carries_our_marker": True}, "554 5.4.6"),
    ("header of the limit", {"header_octets": 100_000}, "250 2.0.0"),
    ("header above it", {"header_octets": 100_001}, "552 5.3.4"),
    ("folded first line", {"begins_folded": True}, "550 5.6.0"),
    ("a letter to a return address", {"has_return_recipient": True}, "550 5.7.1"),
    ("a bounce", {"has_return_recipient": True, "reverse_path": ""}, "250 2.0.0"),
    ("a vacation reply", {"has_return_recipient": True, "is_automatic": True}, "250 2.0.0"),
]


@pytest.mark.parametrize(
    ("changes", "reply"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES]
)
def test_each_message_has_its_reply(changes, reply):
    judgement = judge_message(replace(LETTER, **changes))

    assert str(judgement.reply).startswith(reply)
