"""The dry run: the log judged again, by another policy."""

from dataclasses import replace
from datetime import timedelta

import pytest

from delivery.messagelog.models import LoggedEvent
from delivery.trust_trial import Turn, try_policy
from mail.events import EventKind
from mail.facts import LogLevel
from mail.policy.trust import Action, TrustPolicy
from mail.policy.trust_findings import found_of
from mail.policy.trust_rules import judge_trust
from tenants.clock import database_now
from tenants.context import tenant_schema
from tests.delivery.log_words import _write, a_trace_id, accepted, refused, the_log_writer_runs
from tests.mail.test_trust_rules import (
    AUTHOR,
    FAILS,
    HOLDS,
    LENIENT,
    PASSES,
    QUARANTINED,
    SPAM,
    allows,
    blocks,
    facts,
    scans,
)

pytestmark = pytest.mark.django_db


def logs(person, given, *, level=LogLevel.METADATA, **more):
    """The event as the edge writes it: with what was found, and what was decided."""
    judgement = judge_trust(given)
    trace_id = a_trace_id()
    told = {"found": found_of(given, judgement), "author": AUTHOR, "reverse_path": AUTHOR, **more}
    if judgement.action is Action.REFUSE:
        shared = {"recipient": "hi@example.org", "client_ip": "192.0.2.7", "stage": "data"}
        told |= {**shared, "rule": judgement.rule, "reply": str(judgement.reply)}
        _write(person.tenant, trace_id, EventKind.REFUSED, level, **told)
    else:
        pairs = (("hi@example.org", "friend@far.example"),)
        accepted(person.tenant, trace_id, level=level, **{"recipients": pairs, **told})
    return trace_id


def trial(person, policy: TrustPolicy, **bounds):
    the_log_writer_runs()
    with tenant_schema(person.tenant.pk):
        given = {"now": database_now(), "days": 30, "seconds": 60, **bounds}
        return try_policy(policy, **given)


def test_the_same_policy_changes_nothing(ada):
    for given in (facts(), facts(FAILS), facts(QUARANTINED), facts(scans=(SPAM,))):
        logs(ada, given)

    told = trial(ada, TrustPolicy())

    assert (told.judged, told.changed, told.turns, told.changes) == (4, 0, (), ())
    assert told.looked_back_to is None


@pytest.mark.parametrize(
    ("given", "policy", "before", "after", "rule"),
    [
        (facts(FAILS), LENIENT, Action.REFUSE, Action.ACCEPT, "accept"),
        (facts(FAILS, policy=LENIENT), TrustPolicy(), Action.ACCEPT, Action.REFUSE, "dmarc_reject"),
        (facts(QUARANTINED), HOLDS, Action.ACCEPT, Action.QUARANTINE, "dmarc_quarantine"),
        (
            facts(QUARANTINED, policy=HOLDS),
            TrustPolicy(),
            Action.QUARANTINE,
            Action.ACCEPT,
            "accept",
        ),
        (
            facts(scans=(SPAM,)),
            scans(refuse_from=10),
            Action.ACCEPT,
            Action.REFUSE,
            "score_refuses",
        ),
        (facts(), blocks(AUTHOR), Action.ACCEPT, Action.REFUSE, "blocked"),
        (facts(), blocks(AUTHOR, route_id=5), Action.ACCEPT, Action.REFUSE, "blocked"),
        (facts(), blocks(AUTHOR, domain="example.org"), Action.ACCEPT, Action.REFUSE, "blocked"),
        (facts(FAILS), allows("192.0.2.0/24"), Action.REFUSE, Action.ACCEPT, "allowed_client"),
    ],
)
def test_a_message_that_would_go_another_way_is_named(ada, given, policy, before, after, rule):
    trace_id = logs(ada, given, routes=(5,))

    told = trial(ada, policy)

    (changed,) = told.changes
    assert told.turns == (Turn(before, after, 1),)
    assert (changed.trace_id, changed.before, changed.after) == (trace_id, before, after)
    assert (changed.after_rule, changed.author) == (rule, AUTHOR)
    assert changed.recipient == "hi@example.org"


@pytest.mark.parametrize("scope", [{"route_id": 6}, {"domain": "other.example"}])
def test_an_entry_for_something_else_changes_nothing(ada, scope):
    logs(ada, facts(), routes=(5,))

    assert trial(ada, blocks(AUTHOR, **scope)).changed == 0


def test_a_refusal_that_was_kept_back_for_the_sake_of_others_is_no_change(ada):
    given = facts(FAILS)
    kept = replace(judge_trust(given), action=Action.QUARANTINE, reply=None)
    accepted(ada.tenant, a_trace_id(), found=found_of(given, kept))

    assert trial(ada, TrustPolicy()).changed == 0
    assert trial(ada, LENIENT).turns == (Turn(Action.QUARANTINE, Action.ACCEPT, 1),)


def test_mail_without_findings_and_refusals_before_are_left_out(ada):
    accepted(ada.tenant, a_trace_id())
    refused(ada.tenant, a_trace_id(), "nobody@example.org")

    assert trial(ada, TrustPolicy()).judged == 0


def test_what_is_hashed_is_judged_by_domain(ada):
    logs(ada, facts(), level=LogLevel.HASHED)

    assert trial(ada, blocks("author.example")).changed == 1
    assert trial(ada, blocks(AUTHOR)).changed == 0


def test_it_stops_where_it_should_and_says_where(ada, monkeypatch):
    monkeypatch.setattr("delivery.trust_trial.PAGE_ROWS", 2)
    for _ in range(5):
        logs(ada, facts())

    everything = trial(ada, blocks(AUTHOR))
    some = trial(ada, blocks(AUTHOR), most=3)
    hurried = trial(ada, blocks(AUTHOR), seconds=-1)

    assert (everything.judged, everything.changed, everything.looked_back_to) == (5, 5, None)
    assert (some.judged, some.changed) == (3, 3)
    assert some.looked_back_to is not None
    assert (hurried.judged, hurried.looked_back_to is not None) == (2, True)


def test_at_most_two_hundred_are_listed_and_all_are_counted(ada, monkeypatch):
    monkeypatch.setattr("delivery.trust_trial.MOST_CHANGES", 3)
    last = [logs(ada, facts()) for _ in range(5)][-1]

    told = trial(ada, blocks(AUTHOR))

    assert (told.changed, len(told.changes)) == (5, 3)
    assert told.changes[0].trace_id == last


def test_days_before_are_not_looked_at(ada):
    logs(ada, facts())
    the_log_writer_runs()
    with tenant_schema(ada.tenant.pk):
        after_it = LoggedEvent.objects.get().trace_id.int >> 80
        now = database_now().fromtimestamp(after_it / 1000, tz=database_now().tzinfo)

    assert trial(ada, TrustPolicy(), now=now + timedelta(days=29)).judged == 1
    assert trial(ada, TrustPolicy(), now=now + timedelta(days=31)).judged == 0


def test_mallorys_log_is_not_adas(ada, mallory):
    logs(mallory, facts(PASSES))

    assert trial(ada, blocks(AUTHOR)).judged == 0
