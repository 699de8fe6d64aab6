"""Arrivals come as often as the curve says, at random and reproducibly."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from loadtests.arrivals import Curve, arrivals, curve
from loadtests.scenarios import day, peak
from tests.load.making import plan_of

DAY = curve(day.HOURS, 86_400, day.TICKETS)
HOUR = 3_600


def area(rates: Curve, start_s: float, end_s: float, steps: int = 4_000) -> float:
    """Midpoint rule: knows nothing of how the curve itself adds up."""
    width = (end_s - start_s) / steps
    return width * sum(rates.rate(start_s + (step + 0.5) * width) for step in range(steps))


def test_day_has_50_000_tickets() -> None:
    """The day that the claim is about is the day that is sent."""
    assert math.isclose(area(DAY, 0, 86_400), 50_000, rel_tol=1e-3)
    assert math.isclose(DAY.total, 50_000)


def test_day_has_two_humps() -> None:
    """It rises twice, before and after noon, and is quiet at night."""
    rates = [DAY.rate(60.0 * minute) for minute in range(24 * 60)]
    rises = [after > before for before, after in pairwise(rates) if after != before]
    tops = sum(before and not after for before, after in pairwise(rises))
    assert tops == 2
    assert 10 * HOUR <= 60 * rates.index(max(rates)) <= 11 * HOUR
    assert DAY.rate(13 * HOUR) < 0.75 * DAY.peak
    assert max(rates[: 5 * 60]) < 0.2 * DAY.peak


def test_peak_is_twenty_times_the_mean() -> None:
    """For a quarter of an hour, and then it is over."""
    real = plan_of("peak").real_rates
    high = [second for second in range(26 * 60) if real.rate(second) >= 19.999 * peak.MEAN]
    assert 899 <= len(high) <= 901
    assert math.isclose(real.rate(10), 50_000 / 86_400)


corners = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 50)), min_size=2, max_size=8).map(
    lambda steps: [
        (sum(gap for gap, _ in steps[: n + 1]), rate) for n, (_, rate) in enumerate(steps)
    ]
)


@given(corners, st.floats(0, 1))
def test_when_is_the_inverse_of_the_area(points: list[tuple[float, float]], place: float) -> None:
    """Until the moment that `when` names, as many tickets are expected as were asked for."""
    rates = Curve([(0.0, 1.0), *points])
    moment = rates.when(place * rates.total)
    assert 0 <= moment <= rates.span_s
    assert math.isclose(area(rates, 0, moment), place * rates.total, rel_tol=0.02, abs_tol=0.02)


def test_compression_keeps_the_tickets() -> None:
    """Half the time, twice the rate, the same number; a part of them is a part of every rate."""
    fast = DAY.faster(720)
    assert math.isclose(fast.total, DAY.total)
    assert math.isclose(fast.peak, 720 * DAY.peak)
    assert math.isclose(fast.span_s, 120)
    assert math.isclose(fast.times(0.1).total, 5_000)


def test_arrivals_are_as_many_as_asked_for() -> None:
    """In order, inside the span, and the same for the same seed."""
    moments = arrivals(DAY, 5_000, Random(1))
    assert len(moments) == 5_000
    assert moments == sorted(moments)
    assert moments[0] >= 0
    assert moments[-1] <= 86_400
    assert moments == arrivals(DAY, 5_000, Random(1))
    assert moments != arrivals(DAY, 5_000, Random(2))


def test_arrivals_follow_the_curve() -> None:
    """Every hour has what the curve promises, within five standard deviations."""
    moments = arrivals(DAY, 50_000, Random(3))
    for hour in range(24):
        expected = area(DAY, hour * HOUR, (hour + 1) * HOUR, 200)
        found = sum(hour * HOUR <= moment < (hour + 1) * HOUR for moment in moments)
        assert abs(found - expected) < 5 * math.sqrt(expected)


def test_gaps_are_exponential() -> None:
    """At a constant rate the gaps have the spread of a Poisson process, not of a metronome."""
    steady = Curve([(0, 10.0), (1_000, 10.0)])
    moments = arrivals(steady, 10_000, Random(4))
    gaps = [after - before for before, after in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert math.isclose(mean, 0.1, rel_tol=0.01)
    assert math.isclose(deviation / mean, 1.0, rel_tol=0.05)
    assert math.isclose(sum(gap > mean for gap in gaps) / len(gaps), math.exp(-1), rel_tol=0.05)
