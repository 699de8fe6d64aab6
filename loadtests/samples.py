"""What one request measured, and how many of them are summed up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """One request that was sent: a ticket, or a batch of `tickets` of them.

    `latency_ms` counts from the instant that the ticket was due, `round_trip_ms` from the moment
    that it was sent; `late_ms` lies between the two. The stages are the service's own, from its
    `Server-Timing` header; None where there was none.
    """

    at_s: float
    late_ms: float
    latency_ms: float
    round_trip_ms: float
    status: int  # 0: no answer at all
    arm: str
    tickets: int = 1
    failed: int = 0  # of the tickets
    path: str = ""
    source: str = ""
    escalated: bool = False
    total_ms: float | None = None
    model_ms: float | None = None
    cache_ms: float | None = None
    overhead_ms: float | None = None
    nanodollars: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    right: bool | None = None  # the label, where the data file knows it and the model does not
    simulated: bool = False
    problem: str = ""  # the problem's type, or the connection error's class
    retry_after: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.failed  # noqa: PLR2004


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest value with at least `percent` % at or below it; sorted input."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def percentiles(values: Iterable[float], *percents: float) -> tuple[float, ...]:
    """Several percentiles of values in any order."""
    ordered = sorted(values)
    return tuple(percentile(ordered, percent) for percent in percents)


def supported(values: Iterable[float], *percents: float) -> tuple[float, ...]:
    """As `percentiles`, but not a number where fewer than one value lies beyond: p99 needs 100."""
    ordered = sorted(values)
    return tuple(
        percentile(ordered, percent) if len(ordered) * (100 - percent) >= 100 - 1e-9 else math.nan
        for percent in percents
    )


def median_interval(values: Iterable[float], confidence_z: float = 1.96) -> tuple[float, float]:
    """An interval that holds the true median with 95 % confidence, whatever the distribution.

    From order statistics: the number of values below the median is binomial with p = 1/2
    (normal approximation, ranks rounded outwards). Too few values give an infinite one.
    """
    ordered = sorted(values)
    n = len(ordered)
    half = confidence_z * math.sqrt(n) / 2
    low, high = math.floor(n / 2 - half), math.ceil(n / 2 + half)
    if low < 1 or high > n:
        return 0.0, math.inf
    return ordered[low - 1], ordered[high - 1]


def mean_interval(
    values: Sequence[float], confidence_z: float = 1.96
) -> tuple[float, float, float]:
    """Mean and its 95 % interval (normal approximation)."""
    n = len(values)
    if n < 2:  # noqa: PLR2004
        return (values[0] if values else math.nan), -math.inf, math.inf
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = confidence_z * math.sqrt(variance / n)
    return mean, mean - half, mean + half
