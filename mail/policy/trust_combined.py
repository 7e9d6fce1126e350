"""One reply for several recipients, each judged by the policy of his own tenant.

SMTP has one reply to the final dot, and it is about all recipients (RFC 5321, 4.2.5). So:

- All refuse: the client hears it, and its user learns why.
- Somebody defers: all are deferred. Nothing was kept for anybody yet, so nobody loses the message
  and nobody gets it twice; all get it late. To keep it for some and defer it for others is what
  would give it to the first ones again at each retry, and to quarantine it would hide good mail in
  the one case where waiting an hour cures everything.
- Some refuse: theirs is quarantined. A refusal would take the mail from those who want it, and a
  DSN would go to somebody who never wrote it, the forged author (C8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mail.policy.trust import Action, TrustJudgement
from mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Combined:
    """`reply` is what the final dot answers, None: taken. Judgements in the order they came in."""

    reply: Reply | None
    judgements: tuple[TrustJudgement, ...]


def combine(judgements: Sequence[TrustJudgement]) -> Combined:
    """The outcome of a transaction. Recipients whose mail is dropped anyway are left out of it."""
    given = tuple(judgements)
    refusing = [one for one in given if one.action is Action.REFUSE]
    deferring = [one for one in given if one.action is Action.DEFER]
    if given and len(refusing) == len(given):
        return Combined(refusing[0].reply, given)
    if deferring:
        return Combined(deferring[0].reply, given)
    return Combined(None, tuple(map(_kept_back, given)))


def _kept_back(judgement: TrustJudgement) -> TrustJudgement:
    if judgement.action is not Action.REFUSE:
        return judgement
    return replace(judgement, action=Action.QUARANTINE, reply=None)
