"""Who is told of a failure, and who never: no backscatter, no floods, no notice about a notice."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mail.dsn_policy import (
    DsnDecision,
    FailureFacts,
    NoticeKind,
    Reason,
    ReturnFacts,
    Told,
    judge_notice,
    judge_return,
)
from mail.masking import GAVE_UP, diagnose
from mail.plan import Direction

FAILED = FailureFacts(
    kind=NoticeKind.FAILURE,
    direction=Direction.FORWARD,
    reverse_path="carol@author.example",
    authenticated=True,
    diagnosis=diagnose("550 5.1.1 no such user"),
    after_data=False,
    to_machine=False,
)
DELAYED = replace(FAILED, kind=NoticeKind.DELAY, diagnosis=diagnose("450 4.2.1 try later"))
RETURNED = ReturnFacts(
    reverse_path="carol@author.example",
    is_failure=True,
    is_auto_reply=False,
    proved=True,
    authenticated=True,
    diagnosis=diagnose("550 5.1.1 no such user"),
)


@pytest.mark.parametrize("facts", [FAILED, DELAYED, replace(FAILED, diagnosis=GAVE_UP)])
def test_an_author_whose_reverse_path_was_shown_to_be_his_is_told(facts):
    assert judge_notice(facts).send


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reverse_path": ""}, Reason.NULL_REVERSE_PATH),
        ({"reverse_path": "", "direction": Direction.SEND}, Reason.NULL_REVERSE_PATH),
        ({"direction": Direction.NOTICE}, Reason.OWN_NOTICE),
        ({"direction": Direction.RETURN}, Reason.OWN_NOTICE),
        ({"authenticated": False}, Reason.UNAUTHENTICATED),
        ({"told": Told(about_recipient=True)}, Reason.ALREADY_TOLD),
        ({"told": Told(reverse_path_last_hour=1)}, Reason.HOURLY_LIMIT),
        ({"told": Told(route_last_day=20)}, Reason.DAILY_LIMIT),
        ({"diagnosis": diagnose("550 5.7.1 no")}, Reason.CONTENT_REFUSED),
        ({"diagnosis": diagnose("554 blocked using zen.spamhaus.org")}, Reason.CONTENT_REFUSED),
        ({"diagnosis": diagnose("550 rejected"), "after_data": True}, Reason.CONTENT_REFUSED),
        (
            {"diagnosis": diagnose("554 5.6.0 bad content"), "after_data": True},
            Reason.CONTENT_REFUSED,
        ),
    ],
)
def test_nobody_is_told(changes, reason):
    decision = judge_notice(replace(FAILED, **changes))

    assert (decision.send, decision.reason) == (False, reason)


@pytest.mark.parametrize(
    "reply",
    ["552 5.2.2 mailbox full", "552 5.3.4 too big", "550 5.1.1 no such user", "554 5.4.6 loop"],
)
def test_after_data_a_refusal_that_is_about_the_mailbox_is_told(reply):
    assert judge_notice(replace(FAILED, diagnosis=diagnose(reply), after_data=True)).send


SAME_MESSAGE = Told(
    about_message=True, reverse_path_last_hour=1, reverse_path_free_in=timedelta(minutes=50)
)


@pytest.mark.parametrize("judged", ["notice", "return"])
def test_a_later_failure_of_the_same_message_waits_for_its_hour(judged):
    facts, judge = (FAILED, judge_notice) if judged == "notice" else (RETURNED, judge_return)

    decision = judge(replace(facts, told=SAME_MESSAGE))

    assert decision == DsnDecision(True, Reason.TOLD_LATER, timedelta(minutes=50))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, replace(SAME_MESSAGE, about_message=False)),
        ({}, replace(SAME_MESSAGE, reverse_path_free_in=timedelta(hours=6, seconds=1))),
        ({"kind": NoticeKind.DELAY}, SAME_MESSAGE),
    ],
)
def test_what_is_of_another_message_or_no_failure_or_too_late_does_not_wait(changes, told):
    decision = judge_notice(replace(FAILED, told=told, **changes))

    assert decision == DsnDecision(False, Reason.HOURLY_LIMIT)


def test_waiting_for_the_hour_lifts_no_other_rule():
    told = replace(SAME_MESSAGE, route_last_day=20)

    assert judge_notice(replace(FAILED, told=told)).reason is Reason.DAILY_LIMIT
    assert judge_notice(replace(FAILED, told=told, authenticated=False)).reason is (
        Reason.UNAUTHENTICATED
    )


def test_who_submits_his_own_mail_does_not_wait():
    decision = judge_notice(replace(FAILED, direction=Direction.SEND, told=SAME_MESSAGE))

    assert decision == DsnDecision(True, Reason.TOLD)


def test_the_nineteenth_of_a_route_is_told_and_the_twentieth_too_but_not_more():
    sent = [
        judge_notice(replace(FAILED, told=Told(route_last_day=count))).send
        for count in (18, 19, 20, 21)
    ]

    assert sent == [True, True, False, False]


def test_a_machine_hears_of_failures_but_gets_no_courtesy_mail():
    assert judge_notice(replace(FAILED, to_machine=True)).send
    assert judge_notice(replace(DELAYED, to_machine=True)).reason is Reason.COURTESY_TO_MACHINE


def test_a_delay_for_policy_is_no_refusal_yet():
    assert judge_notice(replace(DELAYED, diagnosis=diagnose("450 4.7.1 greylisted"))).send


def test_who_submits_his_own_mail_hears_of_everything():
    own = replace(
        FAILED, direction=Direction.SEND, authenticated=False, diagnosis=diagnose("550 5.7.1 spam"),
        after_data=True, told=Told(reverse_path_last_hour=30, route_last_day=50),
    )  # fmt: skip

    assert judge_notice(own).send


def test_a_proved_return_is_told():
    assert judge_return(RETURNED).send


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reverse_path": ""}, Reason.NULL_REVERSE_PATH),
        ({"is_auto_reply": True, "is_failure": False}, Reason.AUTO_REPLY),
        ({"is_failure": False}, Reason.NOT_A_FAILURE),
        ({"proved": False}, Reason.NOT_PROVED),
        ({"authenticated": False}, Reason.UNAUTHENTICATED),
        ({"diagnosis": diagnose("550 5.7.1 spam")}, Reason.CONTENT_REFUSED),
        ({"told": Told(about_recipient=True)}, Reason.ALREADY_TOLD),
        ({"told": Told(reverse_path_last_hour=1)}, Reason.HOURLY_LIMIT),
        ({"told": Told(route_last_day=20)}, Reason.DAILY_LIMIT),
    ],
)
def test_a_return_is_only_recorded(changes, reason):
    decision = judge_return(replace(RETURNED, **changes))

    assert (decision.send, decision.reason) == (False, reason)
