"""The breaker: opens soon, never by accident, lets one call at a time find out, and comes back."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from classifier.config.guards import Breaker as BreakerConfig
from classifier.guards.breaker import Breaker

MEAN_PER_S = 50_000 / 86_400  # the claim's volume: 0.58 tickets/s


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Heard = list[tuple[str, str]]


def _breaker(
    clock: Clock, chance: Callable[[], float] | None = None, **config: Any
) -> tuple[Breaker, Heard]:
    heard: Heard = []

    def told(state: str, reason: str) -> None:
        heard.append((state, reason))

    chance = chance or random.Random(1).random
    return Breaker(BreakerConfig(**config), clock, chance, told), heard


def _call(
    breaker: Breaker, verdict: Any, reason: str = "server_error", pause_s: float = 0.0
) -> None:
    assert breaker.refuses() is None
    breaker.leave(breaker.enter(), verdict, reason, pause_s)


def test_five_in_a_row_open_it() -> None:
    """The fifth failure in a row opens it, and says why; a success in between starts anew."""
    breaker, heard = _breaker(Clock())
    for verdict in ("bad", "bad", "bad", "bad", "good", "bad", "bad", "bad", "bad"):
        _call(breaker, verdict)
    assert breaker.state == "closed"
    _call(breaker, "bad", "timeout")
    assert heard == [("open", "timeout")]
    assert breaker.refuses() == "open"


def test_half_of_the_window_opens_it() -> None:
    """Every other call failing never makes five in a row, and is found by the window: at the tenth."""
    breaker, _ = _breaker(Clock())
    calls = 0
    while breaker.state == "closed":
        _call(breaker, "bad" if calls % 2 else "good")
        calls += 1
    assert calls == 10


def test_a_failure_may_ask_for_a_pause() -> None:
    """A 503 with a Retry-After keeps calls away as long as it says, and still counts towards opening."""
    clock = Clock()
    breaker, heard = _breaker(clock)
    for _ in range(5):
        _call(breaker, "bad", "server_error", 20.0)
        clock.now += 19.9
        assert breaker.refuses() == "paused"
        clock.now += 0.2
    assert heard == [("open", "server_error")]


def test_a_pause_is_no_failure() -> None:
    """A 429 keeps calls away for as long as it says, and leaves no mark."""
    clock = Clock()
    breaker, heard = _breaker(clock)
    for _ in range(50):
        _call(breaker, "pause", "rate_limited", 20.0)
        assert breaker.refuses() == "paused"
        assert breaker.refuses_for_s == pytest.approx(20.0)
        clock.now += 20.0
    assert heard == []
    assert breaker.state == "closed"


def test_nothing_is_said_by_a_refused_ticket() -> None:
    """A content filter, a 400 or a caller in a hurry neither opens nor closes anything."""
    breaker, _ = _breaker(Clock())
    for _ in range(4):
        _call(breaker, "bad")
        for _ in range(10):
            _call(breaker, "nothing")
    assert breaker.refuses() is None
    _call(breaker, "bad")
    assert breaker.refuses() == "open"


def test_hopeless_opens_at_once_and_for_long() -> None:
    """A spent quota, a wrong key, a model that is gone: one call is enough, probes are rare."""
    clock = Clock()
    breaker, heard = _breaker(clock)
    _call(breaker, "hopeless", "quota")
    assert heard == [("open", "quota")]
    clock.now += 53.0
    assert breaker.refuses() == "open"
    clock.now += 7.1
    _call(breaker, "good")
    _call(breaker, "good")
    assert heard[1:] == [("half_open", "recovered"), ("closed", "recovered")]


def test_pauses_double_up_to_a_limit() -> None:
    """Who stays away is asked less and less often, but never so seldom that its return takes 10 s."""
    clock = Clock()
    breaker, heard = _breaker(clock, chance=lambda: 0.0)
    pauses = []
    breaker.open("connect")
    for _ in range(5):
        pauses.append(breaker.refuses_for_s)
        clock.now += breaker.refuses_for_s
        _call(breaker, "bad", "connect")
    assert pauses == pytest.approx([2.0, 4.0, 7.0, 7.0, 7.0])
    assert heard == [("open", "connect")]  # failed probes are no news


def test_what_began_before_says_nothing() -> None:
    """Slow calls from before the outage neither close an open breaker nor open a recovered one."""
    clock = Clock()
    breaker, _ = _breaker(clock)
    early = [breaker.enter() for _ in range(20)]
    for entered in early[:5]:
        breaker.leave(entered, "bad", "timeout")
    for entered in early[5:10]:
        breaker.leave(entered, "good", "")
    assert breaker.refuses() == "open"
    clock.now += 2.0
    _call(breaker, "good")
    _call(breaker, "good")
    for entered in early[10:]:
        breaker.leave(entered, "bad", "timeout")
    assert breaker.state == "closed"


def test_a_cancelled_probe_frees_its_place() -> None:
    """A probe that never ends, because its caller left, does not keep the path open for ever."""
    clock = Clock()
    breaker, _ = _breaker(clock)
    breaker.open("connect")
    clock.now += 2.0
    entered = breaker.enter()
    assert breaker.refuses() == "probing"
    breaker.leave(entered, "nothing", "cancelled")
    assert breaker.refuses() is None


# ---------------------------------------------------------------------------- proofs


def _until_open(rng: random.Random, share_dead: float) -> tuple[float, int]:
    """Seconds and calls from an upstream's death to the open breaker, at the mean rate."""
    clock = Clock()
    breaker, _ = _breaker(clock, rng.random)
    for _ in range(100):
        _call(breaker, "good")
    calls = 0
    while breaker.state == "closed":
        clock.now += rng.expovariate(MEAN_PER_S)
        calls += 1
        _call(breaker, "bad" if rng.random() < share_dead else "good")
    return clock.now, calls


def test_dead_upstream_is_noticed() -> None:
    """At 0.58 tickets/s: within 10 s in the median of 1,000 deaths, and never after more than 6 calls."""
    rng = random.Random(4)
    found = [_until_open(rng, 1.0) for _ in range(1_000)]
    assert median(seconds for seconds, _ in found) <= 10.0
    assert max(calls for _, calls in found) <= 6


def test_half_dead_upstream_is_noticed() -> None:
    """Half of all calls failing: the breaker opens within a minute in the median."""
    rng = random.Random(5)
    assert median(_until_open(rng, 0.5)[0] for _ in range(300)) <= 60.0


@pytest.mark.parametrize("days", [20])
def test_noise_opens_nothing(days: int) -> None:
    """One call in a hundred failing by itself never trips it (365 days: `dev soak`)."""
    rng = random.Random(6)
    breaker, heard = _breaker(Clock(), rng.random)
    enter, leave, chance = breaker.enter, breaker.leave, rng.random
    for _ in range(days * 50_000):
        leave(enter(), "bad" if chance() < 0.01 else "good", "server_error")
    assert heard == []


def test_recovery_takes_ten_seconds_at_most() -> None:
    """However long it was away: 10 s after its return a server that is probed is asked again."""
    rng = random.Random(7)
    for _ in range(300):
        clock = Clock()
        breaker, _ = _breaker(clock, rng.random)
        breaker.open("connect")
        back = rng.uniform(0.0, 3_600.0)
        while breaker.state != "closed":
            clock.now += 0.25  # the health watch's step
            if breaker.refuses() is None:
                _call(breaker, "good" if clock.now >= back else "bad")
        assert clock.now - back <= 10.0


# ---------------------------------------------------------------------------- any history at all


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, ends, cancellations and pauses, judged by a model of the promise."""

    @initialize(seed=st.integers(0, 1_000))
    def start(self, seed: int) -> None:
        self.clock = Clock()
        self.breaker, self.heard = _breaker(self.clock, random.Random(seed).random)
        self.under_way: list[int] = []
        self.recent: list[str] = []

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 5.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def begin(self) -> None:
        if self.breaker.refuses() is not None:
            return
        was_closed = self.breaker.state == "closed"
        self.under_way.append(self.breaker.enter())
        if not was_closed:  # one at a time while it is not known
            assert self.breaker.refuses() == "probing"

    @precondition(lambda self: self.under_way)
    @rule(
        data=st.data(),
        verdict=st.sampled_from(["good", "good", "bad", "bad", "pause", "hopeless", "nothing"]),
    )
    def end(self, data: st.DataObject, verdict: Any) -> None:
        entered = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        before = self.breaker.state
        self.breaker.leave(entered, verdict, "timeout", 3.0)
        self.recent.append(verdict)
        if verdict == "hopeless":
            assert self.breaker.refuses() == "open"
        if verdict in ("pause", "nothing"):
            assert self.breaker.state == before
        if verdict == "pause":
            assert self.breaker.refuses_for_s >= 3.0 - 1e-9

    @invariant()
    def open_only_with_cause(self) -> None:
        if not hasattr(self, "breaker") or self.breaker.state != "open":
            return
        assert "hopeless" in self.recent or self.recent.count("bad") >= 5
        assert self.breaker.refuses_for_s <= 60.0

    @invariant()
    def states_follow_each_other(self) -> None:
        allowed = {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("open", "open"),
                   ("half_open", "closed")}  # fmt: skip
        states = ["closed", *(state for state, _ in getattr(self, "heard", []))]
        assert all(step in allowed for step in pairwise(states))


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=60)
