from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.simulator.capacity import Capacity


def test_without_a_limit_nobody_waits() -> None:
    """A model that takes any number of calls at once takes as long for each as it works."""
    capacity = Capacity(0)
    assert [capacity.took_s(0.1, 5.0) for _ in range(100)] == [0.1] * 100


def test_calls_beyond_the_limit_wait_in_line() -> None:
    """Two at a time: the third call waits for the first, the fifth for the third."""
    capacity = Capacity(2)
    took = [capacity.took_s(0.1, 5.0) for _ in range(6)]
    assert took == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3])
    assert capacity.took_s(0.1, 6.0) == pytest.approx(0.1)


def test_more_load_only_makes_it_slower() -> None:
    """As many answers a second leave it at ten times the load as at its capacity."""
    random, capacity, now_s, ends = Random(1), Capacity(4), 0.0, []
    while now_s < 60:
        now_s += random.expovariate(400)
        ends.append(now_s + capacity.took_s(0.1, now_s))
    assert sum(10 <= end < 50 for end in ends) == pytest.approx(40 * 40, rel=0.01)


@given(st.integers(1, 8), st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 2)), max_size=60))
def test_never_more_at_once_than_the_limit(limit: int, calls: list[tuple[float, float]]) -> None:
    """Whatever comes when and takes how long: at no moment are more calls worked on."""
    capacity, now_s, work = Capacity(limit), 0.0, []
    for gap_s, works_s in calls:
        now_s += gap_s
        end = now_s + capacity.took_s(works_s, now_s)
        work.append((end - works_s, end))
    for begin, _ in work:
        assert sum(other <= begin + 1e-9 and begin + 2e-9 < end for other, end in work) <= limit
