"""How long mail took from acceptance to delivery, counted by this process for the status page.

The counts travel with the sign of life of the sending loop; `delivery.pulse` takes the difference
from minute to minute. Bounds are a third apart, so that a percentile is right within a sixth.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

BOUNDS: Final = (
    *(0.01, 0.013, 0.018, 0.024, 0.032, 0.042, 0.056, 0.075, 0.1, 0.13, 0.18, 0.24, 0.32, 0.42),
    *(0.56, 0.75, 1.0, 1.3, 1.8, 2.4, 3.2, 4.2, 5.6, 7.5, 10.0, 18.0, 32.0, 56.0, 100.0, 320.0),
    *(1000.0, 3200.0, 10_000.0, 32_000.0, 100_000.0, 432_000.0),
)
"""Seconds; the last class is for what took longer than all of them."""


class Latency:
    """Counts of one process since it began."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)

    def observe(self, seconds: float) -> None:
        """One delivery."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1

    def counts(self) -> list[int]:
        """How many in each class, so far."""
        return list(self._counts)


LATENCY: Final = Latency()


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The bound below which `share` (0 to 1) of the deliveries lie; None where there were none."""
    wanted = share * sum(counts)
    if wanted <= 0:
        return None
    seen = 0
    for count, bound in zip(counts, (*BOUNDS, float("inf")), strict=True):
        seen += count
        if seen >= wanted:
            return bound
    return None
