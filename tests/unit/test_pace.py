"""Bursts and standing queues of the event loop, told apart in made-up time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from classifier.admission.pace import INTERVAL_S, Pace
from classifier.config.overload import Overload

CONFIG = Overload(turn_target_s=0.005, turn_limit_s=0.1)
LONG_S, SHORT_S = 0.11, 0.001


def _pace(*turns_s: float, takes: int = 0) -> tuple[Pace, float]:
    """After these turns, one upon the other; each lets in `takes` requests."""
    pace, now = Pace(CONFIG), 0.0
    for turn_s in turns_s:
        pace.taken += takes
        now += turn_s
        pace.turned(turn_s, now)
    return pace, now


def test_burst_is_not_a_queue() -> None:
    """One turn however long, or long ones between short ones, limit nobody."""
    assert not _pace(5.0)[0].standing
    assert not _pace(*[LONG_S, SHORT_S] * 20)[0].standing


def test_queue_that_stays_is_one() -> None:
    """Long turns for an interval, and only they, are a queue that stays; it ends likewise."""
    pace, now = _pace(LONG_S, LONG_S)
    assert pace.standing
    pace.turned(SHORT_S, now + SHORT_S)
    assert pace.standing
    pace.turned(SHORT_S, now + INTERVAL_S)
    pace.turned(SHORT_S, now + INTERVAL_S + SHORT_S)
    assert not pace.standing


def test_queue_ends_with_the_crowd() -> None:
    """Who comes after a pause is not held to what was before it."""
    pace, now = _pace(LONG_S, LONG_S, takes=50)
    assert pace.standing
    pace.turned(LONG_S, now + 10.0)
    assert not pace.standing
    assert not pace.is_late(now + 20.0, None)


def test_late_is_seen_at_once() -> None:
    """The last turn counts, and the one that still goes on."""
    pace, now = _pace(SHORT_S)
    assert not pace.is_late(now, None)
    assert pace.is_late(now + 0.006, now)
    pace, now = _pace(0.006)
    assert pace.is_late(now, None)


@given(st.floats(0.0005, 0.05), st.integers(2, 400))
def test_turn_takes_what_fits(cost_s: float, arrivals: int) -> None:
    """Under more than it can do each turn lets in as many as fit into the limit, and at least one."""
    pace, now = Pace(CONFIG), 0.0
    for _ in range(200):
        for _ in range(arrivals):
            pace.taken += not pace.is_spent
        turn_s, let_in = pace.taken * cost_s, pace.taken
        now += turn_s
        pace.turned(turn_s, now)
    assert let_in >= 1
    assert turn_s <= CONFIG.turn_limit_s + 2 * cost_s
