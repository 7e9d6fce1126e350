"""Code of an installation: found by its path or refused at the start, and limited while it runs."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import types

import pytest
import uvloop

from mail.extension import Check, CheckFacts, CheckOpinion
from mail.policy.trust import Action
from mail.policy.trust_rules import Opinion, judge_trust
from mail.reply import Reply
from mxax.setting_values import SettingError
from smtp_edge.extensions import Extensions
from tests.mail.test_extension import FACTS as TRUST_FACTS
from tests.smtp_edge.scanning.peers import ENVELOPE, HEADER, MESSAGE
from tests.timing import soon

FACTS = CheckFacts(ENVELOPE, ("ben@ben.example",), ())
REFUSED = CheckOpinion(Action.REFUSE, "for a reason")


@pytest.fixture
def module(monkeypatch):
    """A module of the installation; tests put their checks into it."""
    made = types.ModuleType("their_checks")
    monkeypatch.setitem(sys.modules, "their_checks", made)
    return made


def loaded(module: types.ModuleType, *kinds: type) -> Extensions:
    for kind in kinds:
        setattr(module, kind.__name__, kind)
    return Extensions.of([f"their_checks.{kind.__name__}" for kind in kinds], [])


def asked(extensions: Extensions, octets: bytes = MESSAGE):
    async def story():
        began = time.monotonic()
        results = await extensions.ask(FACTS, octets)
        return results, time.monotonic() - began

    return uvloop.run(story())


def test_both_kinds_of_methods_give_their_opinions_in_order(module):
    class Ordinary(Check):
        def check(self, facts):
            assert threading.current_thread() is not threading.main_thread()
            return REFUSED

    class Waiting:  # looks like a check without being made from it
        async def check(self, facts):
            return CheckOpinion(Action.ACCEPT, fields=(("X-Seen", "yes"),))

    class Silent(Check):
        def check(self, facts):
            return None

    results, _ = asked(loaded(module, Ordinary, Silent, Waiting))

    assert [(one.name, one.opinion.action) for one in results] == [
        ("Ordinary", Action.REFUSE),
        ("Waiting", Action.ACCEPT),
    ]


def test_only_those_who_want_octets_get_them_and_no_more_than_the_opening(module):
    got = {}

    class Wants(Check):
        wants_octets = True

        async def check(self, facts):
            got["wants"] = facts.octets

    class Other(Check):
        async def check(self, facts):
            got["other"] = facts.octets

    asked(loaded(module, Wants, Other), HEADER + b"x" * 300_000)

    assert len(got["wants"]) == 256 * 1024
    assert got["other"] == b""


def late(facts):
    time.sleep(1.5)


async def late_async(facts):
    await asyncio.sleep(30)


async def deaf(facts):
    """Does not let itself be cancelled."""
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            continue


def raises(facts):
    raise KeyError("x")


async def raises_async(facts):
    raise RuntimeError("no\nidea")


def exits(facts):
    sys.exit(3)


async def exits_async(facts):
    sys.exit(3)


async def cancels_itself(facts):
    raise asyncio.CancelledError


def lies(facts):
    return "550 no"


def returns_a_promise(facts):
    return CheckOpinion(Action.ACCEPT, fields=(("Received", "from me"),))


TROUBLE = [late, late_async, deaf, raises, raises_async, exits, exits_async, cancels_itself, lies,
           returns_a_promise]  # fmt: skip


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda one: one.__name__)
def test_trouble_is_no_opinion_or_defers_where_the_check_is_required(module, trouble, required):
    Troubled = type(
        "Troubled",
        (Check,),
        {"check": staticmethod(trouble), "required": required, "seconds": 0.1},
    )

    class Fine(Check):
        async def check(self, facts):
            return REFUSED

    results, seconds = asked(loaded(module, Troubled, Fine))

    assert seconds < 1.3
    expected = [("Troubled", Action.DEFER)] if required else []
    assert [(one.name, one.opinion.action) for one in results] == [
        *expected,
        ("Fine", Action.REFUSE),
    ]
    assert all(one.opinion.reason.isprintable() for one in results)


def test_a_method_that_never_ends_costs_eight_threads_and_then_nothing(module):
    gate = threading.Event()

    begun = []

    class Stuck(Check):
        seconds = 1.0

        def check(self, facts):
            begun.append(facts)
            gate.wait(20)

    async def asked_again(extensions):
        await extensions.ask(FACTS, b"")
        return len(begun) > 8

    async def story():
        extensions = loaded(module, Stuck)
        threads = threading.active_count()
        await asyncio.gather(*[extensions.ask(FACTS, b"") for _ in range(30)])
        more = threading.active_count() - threads
        began = time.monotonic()
        await extensions.ask(FACTS, b"")
        at_once = time.monotonic() - began
        gate.set()
        for _ in range(1000):
            if await asked_again(extensions):
                break
            await asyncio.sleep(0.01)
        return more, at_once, len(begun)

    more, at_once, asked_in_all = uvloop.run(story())

    assert more <= 8
    assert at_once < 0.8
    assert asked_in_all == 9


def test_a_stuck_method_does_not_hold_up_another_check(module):
    gate = threading.Event()

    class Stuck(Check):
        seconds = 0.2

        def check(self, facts):
            gate.wait(20)

    class Fine(Check):
        def check(self, facts):
            return REFUSED

    async def story():
        extensions = loaded(module, Stuck, Fine)
        found = await asyncio.gather(*[extensions.ask(FACTS, b"") for _ in range(30)])
        gate.set()
        return found

    assert [[one.name for one in results] for results in uvloop.run(story())] == [["Fine"]] * 30


def test_who_leaves_takes_the_check_with_him(module):
    begun, cancelled = threading.Event(), []

    class Waits(Check):
        async def check(self, facts):
            begun.set()
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    async def story():
        task = asyncio.ensure_future(loaded(module, Waits).ask(FACTS, b""))
        await soon(begun.is_set)
        task.cancel()
        await soon(lambda: cancelled)

    uvloop.run(story())

    assert cancelled == [True]


# Paths


class NeedsArguments(Check):
    def __init__(self, name):
        self.name = name


class TooPatient(Check):
    seconds = 60


class NoMethod:
    pass


class Raises(Check):
    def __init__(self):
        raise ValueError("no config\nsecond line")


def virus_found(facts):
    return None


async def waits(facts):
    return None


def asks_nothing(facts):
    return None


HERE = "their_checks"


@pytest.mark.parametrize(
    ("checks", "rules", "says"),
    [
        (["nodots"], [], "needs a dotted path"),
        (["no.such.module.Check"], [], "cannot be imported (ModuleNotFoundError"),
        (["mail..x"], [], "needs a dotted path"),
        ([f"{HERE}.Missing"], [], "their_checks has no Missing"),
        ([f"{HERE}.asks_nothing"], [], "needs a class"),
        ([f"{HERE}.NeedsArguments"], [], "cannot be made (TypeError"),
        ([f"{HERE}.Raises"], [], "cannot be made (ValueError"),
        ([f"{HERE}.NoMethod"], [], "has no method check(facts)"),
        ([f"{HERE}.TooPatient"], [], "seconds must be above 0 and at most 10"),
        ([], [f"{HERE}.NoMethod"], "needs a function"),
        ([], [f"{HERE}.waits"], "not async"),
        ([], [f"{HERE}.virus_found"], "virus_found is taken"),
        ([], [f"{HERE}.asks_nothing"] * 2, "asks_nothing is taken"),
    ],
)
def test_a_path_that_is_wrong_refuses_to_start_in_one_line(module, checks, rules, says):
    for one in (NeedsArguments, TooPatient, NoMethod, Raises, virus_found, waits, asks_nothing):
        setattr(module, one.__name__, one)

    with pytest.raises(SettingError) as wrong:
        Extensions.of(checks, rules)

    assert says in str(wrong.value)
    assert "MXAX_" in str(wrong.value)
    assert "\n" not in str(wrong.value)


# Rules


def judged(module: types.ModuleType, rule) -> object:
    module.own_rule = rule
    rule.__name__ = "own_rule"
    return judge_trust(TRUST_FACTS, Extensions.of([], ["their_checks.own_rule"]).rules)


def test_a_rule_judges_after_ours(module):
    opinion = Opinion(Action.REFUSE, "why", Reply(550, (7, 1), "No"))

    found = judged(module, lambda facts: opinion)

    assert (found.rule, found.reply, found.trail[-1]) == ("own_rule", opinion.reply, "own_rule")


@pytest.mark.parametrize(
    "opinion",
    ["no", Opinion(Action.REFUSE, "why"), Opinion(Action.REFUSE, "why", Reply(250, (0, 0), "ok")),
     Opinion(Action.DEFER, "why", Reply(550, (7, 1), "No")), Opinion("refuse", "why"),
     Opinion(Action.REFUSE, "why", Reply(550, (7, 1), "a\r\n250 b")),
     Opinion(Action.REFUSE, "why", Reply(550, ("7\r\n250 ", 1), "No")),
     Opinion(Action.REFUSE, "why", Reply("550", (7, 1), "No")),
     Opinion(Action.REFUSE, "why", Reply(5500, (7, 1), "No")),
     Opinion(Action.REFUSE, "why\r\nwherefore", Reply(550, (7, 1), "No")),
     Opinion(Action.QUARANTINE, "why\r\nwherefore"), Opinion(Action.QUARANTINE, "x" * 1_000_000),
     Opinion(Action.QUARANTINE, ""), Opinion(Action.QUARANTINE, None)],
    ids=range(14),
)  # fmt: skip
def test_a_rule_that_makes_no_sense_has_no_opinion(module, opinion):
    assert judged(module, lambda facts: opinion).action is Action.ACCEPT


def test_a_rule_that_raises_has_no_opinion(module):
    assert judged(module, lambda facts: 1 / 0).action is Action.ACCEPT


def test_without_extensions_nothing_is_asked():
    extensions = Extensions.of([], [])

    assert not extensions.wanted
    assert asked(extensions)[0] == ()
