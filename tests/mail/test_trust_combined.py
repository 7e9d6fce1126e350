"""One reply for several recipients: nobody loses a message, nobody gets it twice (C8)."""

import pytest

from mail.policy.trust import Action, TrustJudgement
from mail.policy.trust_combined import combine
from mail.reply import Reply

NO = Reply(550, (7, 26), "no")
LATER = Reply(451, (7, 24), "later")
REPLIES = {Action.REFUSE: NO, Action.DEFER: LATER}


def judged(letter: str) -> TrustJudgement:
    action = {"a": Action.ACCEPT, "q": Action.QUARANTINE, "r": Action.REFUSE, "d": Action.DEFER}[
        letter
    ]
    return TrustJudgement(action, f"rule_{letter}", "why", (f"rule_{letter}",), REPLIES.get(action))


@pytest.mark.parametrize(
    ("given", "reply", "then"),
    [
        ("", None, ""),
        ("a", None, "a"),
        ("aq", None, "aq"),
        ("r", NO, "r"),
        ("rr", NO, "rr"),
        ("ra", None, "qa"),
        ("rqr", None, "qqq"),
        ("d", LATER, "d"),
        ("da", LATER, "da"),
        ("rd", LATER, "rd"),
        ("raqd", LATER, "raqd"),
    ],
)
def test_one_reply_is_found_for_all(given, reply, then):
    combined = combine([judged(letter) for letter in given])

    assert combined.reply == reply
    assert [one.action for one in combined.judgements] == [judged(letter).action for letter in then]


def test_what_is_kept_back_instead_of_refused_keeps_its_reason_and_loses_its_reply():
    combined = combine([judged("r"), judged("a")])

    kept = combined.judgements[0]
    assert (kept.rule, kept.reason, kept.trail, kept.reply) == ("rule_r", "why", ("rule_r",), None)
