"""The dry run: what another policy would have made of the mail of the last days."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from delivery.rule_words import ACCEPT, question_of
from delivery.trust_trial import Changed, Trial, try_policy
from delivery.trust_words import ACTIONS, TONES
from mail.trace import format_trace_id, printable
from panel.access import Role, needs
from panel.heavy import heavy
from panel.pages import page
from panel.trust.forms import TrialForm, initial_of
from routing.services.trust import TrustChoice
from routing.trust import preference_here, trust_policy_here
from tenants.clock import database_now

# A page is waited for; the command has no such bounds.
MOST_MESSAGES: Final = 100_000
SECONDS: Final = 8.0
DAYS: Final = 30
MOST_LINES: Final = 60
_LONGEST: Final = 80
_LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Line:
    """One message that would have gone another way."""

    trace_id: str
    at: datetime
    author: str
    recipient: str
    before: str
    before_tone: str
    after: str
    after_tone: str
    why: str


@needs(Role.EDITOR)
@require_safe
def try_it(request: HttpRequest) -> HttpResponseBase:
    """The form, and where it was sent the outcome; nothing is changed by it."""
    return _outcome(request) if request.GET else _shown(request, _form(request), trial=None)


@heavy("GET", "HEAD")
def _outcome(request: HttpRequest) -> HttpResponse:
    form = _form(request)
    if not form.is_valid():
        return _shown(request, form, trial=None)
    preference = preference_here()
    tried = replace(TrustChoice.of(preference), **form.judging()).put_into(preference)
    trial = try_policy(
        trust_policy_here(tried),
        now=database_now(),
        days=form.cleaned_data["days"],
        most=MOST_MESSAGES,
        seconds=SECONDS,
    )
    return _shown(request, form, trial)


def _form(request: HttpRequest) -> TrialForm:
    initial = initial_of(TrustChoice.of(preference_here()))
    return TrialForm(request.GET or None, initial={**initial, "days": DAYS})


def _shown(request: HttpRequest, form: TrialForm, trial: Trial | None) -> HttpResponse:
    return page(
        request,
        "panel/trust/try.html",
        status=422 if form.is_bound and trial is None else None,
        form=form,
        trial=trial,
        turns=_turns(trial) if trial else [],
        lines=[_line(one) for one in trial.changes[:MOST_LINES]] if trial else [],
        wanted=request.GET.urlencode(),
    )


def _turns(trial: Trial) -> list[tuple[int, str, str]]:
    return [(turn.count, ACTIONS[turn.before], ACTIONS[turn.after]) for turn in trial.turns]


def _line(one: Changed) -> Line:
    reason = printable(one.reason, _LONGEST_REASON)
    why = "No rule is against it." if one.after_rule == ACCEPT else question_of(one.after_rule)
    return Line(
        trace_id=format_trace_id(one.trace_id),
        at=one.at,
        author=printable(one.author, _LONGEST),
        recipient=printable(one.recipient, _LONGEST),
        before=ACTIONS[one.before],
        before_tone=TONES[one.before],
        after=ACTIONS[one.after],
        after_tone=TONES[one.after],
        why=why if one.after_rule == ACCEPT else f"{why} Yes: {reason}.",
    )
