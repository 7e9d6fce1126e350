"""Runs the checks of an installation: loads them, limits their time, and survives what they do.

How the edge calls it:

    extensions = Extensions.of(env.checks, env.rules)             # at the start; may refuse it
    results = await extensions.ask(CheckFacts(…), first_octets)   # at the end of data, after scans
    judge_trust(facts, (*extensions.rules, *rules_of(results)))   # for each recipient
    check_fields(results)                                         # into PlannedMessage.our_fields

`ask` runs all checks side by side, never raises, and is over when the slowest is, or its limit
(smtp_edge/checks.py). What is late, raises or makes no sense is logged, counted and without
opinion; a check that is `required` defers the message then.
"""

import asyncio
import functools
import importlib
import inspect
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from mail.extension import OPENING_OCTETS, CheckFacts, CheckResult, fits_one_line
from mail.policy.trust import Action, TrustFacts
from mail.policy.trust_rules import TRUST_RULES, Opinion, Rule
from mail.reply import Reply
from mxax.setting_values import SettingError
from smtp_edge.checks import LoadedCheck, Threads
from smtp_edge.scanning import metrics

log = structlog.get_logger()

_MOST_SECONDS: Final = 10.0
_SLOW_RULE_SECONDS: Final = 0.05
_REPLY: Final = re.compile(r"[45][0-9]{2} (?:[45]\.[0-9]{1,3}\.[0-9]{1,3} )?[ -~]{1,200}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Extensions:
    """All that is named in MXAX_CHECKS and MXAX_RULES, for one event loop."""

    checks: tuple[LoadedCheck, ...] = ()
    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, check_paths: Sequence[str], rule_paths: Sequence[str]) -> "Extensions":
        """Raises `SettingError`, one line that says which name is wrong."""
        found = cls(
            tuple(_loaded_check(path) for path in check_paths),
            tuple(_loaded_rule(path) for path in rule_paths),
        )
        taken = [rule.__name__ for rule in TRUST_RULES]
        for name in (*(one.name for one in found.checks), *(one.__name__ for one in found.rules)):
            if name in taken:
                raise SettingError(f"MXAX_CHECKS, MXAX_RULES: the name {name} is taken already")
            taken.append(name)
        return found

    @property
    def wanted(self) -> bool:
        return bool(self.checks)

    async def ask(self, facts: CheckFacts, octets: bytes) -> tuple[CheckResult, ...]:
        """The opinions of all checks, in the order of the setting; `octets` begin the message."""
        with_octets = replace(facts, octets=octets[:OPENING_OCTETS])
        asked = (one.ask(with_octets if one.wants_octets else facts) for one in self.checks)
        return tuple(one for one in await asyncio.gather(*asked) if one is not None)


def _loaded_check(path: str) -> LoadedCheck:
    where = f"MXAX_CHECKS={path}"
    kind = _named(path, where)
    if not inspect.isclass(kind):
        raise SettingError(f"{where}: needs a class that can be made without arguments")
    try:
        one: Any = kind()
    except Exception as error:
        raise SettingError(f"{where}: cannot be made ({_in_one_line(error)})") from None
    check = getattr(one, "check", None)
    if not callable(check):
        raise SettingError(f"{where}: has no method check(facts)")
    seconds = getattr(one, "seconds", 2.0)
    if not isinstance(seconds, int | float) or not 0 < seconds <= _MOST_SECONDS:
        raise SettingError(f"{where}: seconds must be above 0 and at most {_MOST_SECONDS:g}")
    name = _fit_name(kind.__name__, where)
    is_async = inspect.iscoroutinefunction(check)
    return LoadedCheck(
        name=name,
        run=check if is_async else Threads(check, name).run,
        required=bool(getattr(one, "required", False)),
        wants_octets=bool(getattr(one, "wants_octets", False)),
        seconds=float(seconds),
    )


def _loaded_rule(path: str) -> Rule:
    where = f"MXAX_RULES={path}"
    function = _named(path, where)
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise SettingError(f"{where}: needs a function rule(facts) that is not async")
    _fit_name(function.__name__, where)
    return _guarded(function)


def _named(path: str, where: str) -> object:
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise SettingError(f"{where}: needs a dotted path, for example mychecks.Invoices")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise SettingError(f"{where}: {module} has no {name}") from None
    except Exception as error:
        raise SettingError(f"{where}: cannot be imported ({_in_one_line(error)})") from None


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _fit_name(name: str, where: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise SettingError(f"{where}: {name} is no name for a rule")
    return name


def _guarded(rule: Callable[[TrustFacts], Opinion | None]) -> Rule:
    """The rule without the harm it could do: what it raises means no opinion."""

    @functools.wraps(rule)
    def guarded(facts: TrustFacts) -> Opinion | None:
        began = time.perf_counter()
        try:
            opinion = _usable(rule(facts), rule.__name__)
        except Exception as error:
            metrics.CHECKS.labels(rule.__name__, "failed").inc()
            log.warning("rule.raised", rule=rule.__name__, exc_info=error)
            return None
        seconds = time.perf_counter() - began
        if seconds > _SLOW_RULE_SECONDS:
            log.warning("rule.slow", rule=rule.__name__, seconds=round(seconds, 3))
        return opinion

    return guarded


def _usable(opinion: object, name: str) -> Opinion | None:
    if opinion is None:
        return None
    if not isinstance(opinion, Opinion) or not _fits(opinion):
        metrics.CHECKS.labels(name, "failed").inc()
        log.warning("rule.makes_no_sense", rule=name)
        return None
    metrics.CHECKS.labels(name, opinion.action.value).inc()
    return opinion


def _fits(opinion: Opinion) -> bool:
    """Whether the reason may be logged, and the reply is of the class that the action promises."""
    if not isinstance(opinion.action, Action) or not fits_one_line(opinion.reason):
        return False
    if opinion.action not in (Action.REFUSE, Action.DEFER):
        return True
    reply = opinion.reply
    if not isinstance(reply, Reply) or not _REPLY.fullmatch(str(reply)):
        return False
    return reply.is_permanent if opinion.action is Action.REFUSE else reply.is_transient
