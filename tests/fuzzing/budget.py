"""How long the fuzzing takes: FUZZ_SECONDS for all of it, twenty where nobody says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

_EXAMPLES_AT_A_TIME = 250


def seconds() -> float:
    return float(os.environ.get("FUZZ_SECONDS") or 20)


def keep_trying(inputs: SearchStrategy, check: Callable, budget: float) -> int:
    """Give `check` inputs until time is up; how many. A failure is made small and raised."""
    tried = 0

    def counted(one: object) -> None:
        nonlocal tried
        tried += 1
        check(one)

    rounds = settings(
        max_examples=_EXAMPLES_AT_A_TIME,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(given(inputs)(counted))
    until = time.monotonic() + budget
    while time.monotonic() < until:
        rounds()
    return tried
