"""When tickets come: a rate over time, and the instants that are drawn from it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from random import Random

Corner = tuple[float, float]  # seconds, tickets a second


class Curve:
    """A rate over time: straight lines between corners. The area below it is a number of tickets."""

    def __init__(self, corners: Iterable[Corner]) -> None:
        self.corners = tuple(corners)
        self._times = [time for time, _ in self.corners]
        areas = (
            (end - start) * (before + after) / 2
            for (start, before), (end, after) in pairwise(self.corners)
        )
        self._counts = list(accumulate(areas, initial=0.0))

    @property
    def span_s(self) -> float:
        return self._times[-1]

    @property
    def total(self) -> float:
        """All tickets that it stands for."""
        return self._counts[-1]

    @property
    def peak(self) -> float:
        """The highest rate, in tickets a second."""
        return max(rate for _, rate in self.corners)

    def rate(self, at_s: float) -> float:
        """Tickets a second at this moment; 0 before the start and after the end."""
        if not 0 <= at_s <= self.span_s:
            return 0.0
        start, before, end, after = self._line(bisect_right(self._times, at_s) - 1)
        return before + (after - before) * (at_s - start) / (end - start) if end > start else after

    def when(self, count: float) -> float:
        """The moment until which `count` tickets are expected: the inverse of the area."""
        index = min(bisect_right(self._counts, count), len(self._counts) - 1) - 1
        start, before, end, after = self._line(index)
        missing = max(0.0, count - self._counts[index])
        slope = (after - before) / (end - start)
        # before·x + slope·x²/2 = missing, solved in the form that is exact for a slope near 0
        root = math.sqrt(max(0.0, before * before + 2 * slope * missing))
        return min(end, start + (2 * missing / (before + root) if before + root else 0.0))

    def faster(self, factor: float) -> Curve:
        """The same tickets in less time: every rate is `factor` times as high."""
        return Curve((time / factor, rate * factor) for time, rate in self.corners)

    def times(self, share: float) -> Curve:
        """Every rate times `share`. A random part of a Poisson process is one as well."""
        return Curve((time, rate * share) for time, rate in self.corners)

    def _line(self, index: int) -> tuple[float, float, float, float]:
        index = min(max(index, 0), len(self.corners) - 2)
        return *self.corners[index], *self.corners[index + 1]


def curve(weights: Sequence[Corner], span_s: float, total: float) -> Curve:
    """A curve of this length and total from (any unit of time, relative rate) corners."""
    stretched = Curve((time * span_s / weights[-1][0], weight) for time, weight in weights)
    return stretched.times(total / stretched.total)


def arrivals(rates: Curve, count: int, random: Random) -> list[float]:
    """Exactly `count` instants of a Poisson process with these rates, in order.

    Gaps are exponential in the process's own time and stretched so that `count` of them fill it:
    that is what a Poisson process looks like once its number of events is known.
    """
    gaps = [random.expovariate(1.0) for _ in range(count + 1)]
    scale = rates.total / sum(gaps)
    return [rates.when(passed * scale) for passed in accumulate(gaps[:-1])]
