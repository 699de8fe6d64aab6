"""The limit and the gate before a model server with few slots, in virtual time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random

import pytest
from msgspec import structs

from classifier.admission.gate import Gate, Priority, Waiter
from classifier.admission.limit import AdaptiveLimit
from classifier.config.overload import Overload

CALL_S = {"short": 0.1, "long": 0.4}
SIGMA = 0.3
DEADLINE_S = 8.0


class Street:
    """Arrivals, the gate, and a model server that takes `slots` calls at once, first come first served."""

    def __init__(self, slots: int, config: Overload | None = None, seed: int = 1) -> None:
        self.config = config or Overload()
        self.limit = AdaptiveLimit(self.config)
        self.gate = Gate(self.config, self.limit)
        self.slowness = 1.0
        self.answered: list[tuple[float, float, Priority]] = []  # when, after how long, for whom
        self.refused: list[tuple[float, float]] = []  # when it came, after how long
        self.now = 0.0
        self._random = Random(seed)
        self._free_at = [0.0] * slots
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def drive(
        self, seconds: float, rate: float, path: str = "short", priority: Priority = "interactive"
    ) -> tuple[float, float]:
        """Poisson arrivals from now on, and everything until they end; returns from when to when."""
        began = self.now
        self.plan(seconds, rate, path, priority)
        self.run_until(began + seconds)
        return began, self.now

    def plan(self, seconds: float, rate: float, path: str, priority: Priority) -> None:
        at = self.now
        while (at := at + self._random.expovariate(rate)) < self.now + seconds:
            self._at(at, lambda: self._arrive(path, priority))

    def run_until(self, end: float) -> None:
        while self._events and self._events[0][0] < end:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        self.now = end

    def goodput(self, span: tuple[float, float]) -> float:
        return len(self._ended_in(span)) / (span[1] - span[0])

    def latency_s(self, span: tuple[float, float], share: float) -> float:
        found = sorted(took for _, took, _ in self._ended_in(span))
        return found[int(share * len(found))]

    def refused_in(self, span: tuple[float, float]) -> list[float]:
        return [after for at, after in self.refused if span[0] <= at < span[1]]

    def _ended_in(self, span: tuple[float, float]) -> list[tuple[float, float, Priority]]:
        return [one for one in self.answered if span[0] <= one[0] < span[1]]

    def _at(self, moment: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), happens))

    def _arrive(self, path: str, priority: Priority) -> None:
        came = self.now
        if self.gate.take(priority, came):
            self._ask(path, priority, came)
        elif self.gate.objection(priority, DEADLINE_S):
            self.refused.append((came, 0.0))
        else:
            waiter = self.gate.line_up(
                priority, came, lambda: self._ask(path, waiter.priority, came)
            )
            if priority == "interactive":
                self._at(came + self.config.queue_wait_s, partial(self._give_up, came, waiter))

    def _give_up(self, came: float, waiter: Waiter) -> None:
        if self.gate.leave(waiter):
            self.refused.append((came, self.now - came))

    def _ask(self, path: str, priority: Priority, came: float) -> None:
        began = self.now
        works_s = CALL_S[path] * self.slowness * self._random.lognormvariate(0.0, SIGMA)
        ends = max(began, heapq.heappop(self._free_at)) + works_s
        heapq.heappush(self._free_at, ends)
        self._at(ends, lambda: self._end(path, priority, came, began))

    def _end(self, path: str, priority: Priority, came: float, began: float) -> None:
        self.limit.finished(path, self.now - began, began, self.gate.in_use, self.now)
        self.gate.give_back(priority, self.now - began)
        self.answered.append((self.now, self.now - came, priority))


def _capacity(slots: int, path: str = "short") -> float:
    return slots / (CALL_S[path] * math.exp(SIGMA * SIGMA / 2))


@pytest.mark.parametrize("slots", [4, 16, 64])
def test_ten_times_the_load_costs_no_goodput(slots: int) -> None:
    """Ten times what the models can do: at least 90 % of it is answered, in time, and soon after all is well."""
    street = Street(slots)
    capacity = _capacity(slots)
    street.drive(20, 0.5 * capacity)
    step = street.drive(12, 10 * capacity)
    street.drive(5, 0.5 * capacity)
    after = street.drive(10, 0.5 * capacity)
    assert street.goodput(step) >= 0.9 * capacity
    assert street.latency_s(step, 0.99) <= DEADLINE_S / 2
    assert not street.refused_in(after)
    assert street.latency_s(after, 0.5) < 1.5 * CALL_S["short"]
    late = [one for one in street.refused_in(step) if one > 0]
    assert len(late) <= 0.02 * len(street.refused_in(step))


def test_start_in_the_middle_of_an_overload() -> None:
    """A process that never saw the models idle finds their capacity, and no long queue before it."""
    street = Street(16)
    street.drive(20, 5 * _capacity(16))
    later = street.drive(20, 5 * _capacity(16))
    assert street.goodput(later) >= 0.9 * _capacity(16)
    assert street.latency_s(later, 0.5) < 3 * CALL_S["short"]


def test_limit_does_not_drift_up_under_lasting_overload() -> None:
    """Minutes of pressure teach it nothing wrong: the queue at the models stays as short as it was."""
    street = Street(16)
    street.drive(10, 0.5 * _capacity(16))
    first = street.drive(30, 3 * _capacity(16))
    street.drive(60, 3 * _capacity(16))
    last = street.drive(30, 3 * _capacity(16))
    assert street.latency_s(last, 0.5) < 1.3 * street.latency_s(first, 0.5)


def test_slower_models_are_told_from_a_queue() -> None:
    """Under pressure models become three times slower for good: the new capacity is used as well."""
    street = Street(16)
    street.drive(10, 0.5 * _capacity(16))
    street.drive(10, 3 * _capacity(16))
    street.slowness = 3.0
    street.drive(20, 3 * _capacity(16))
    slow = street.drive(20, 3 * _capacity(16))
    assert street.goodput(slow) >= 0.85 * _capacity(16) / 3


def test_brown_out_without_pressure_refuses_nobody() -> None:
    """Models that are three times slower while there is room enough are no reason to refuse."""
    street = Street(1_000)
    street.drive(20, 50)
    street.slowness = 3.0
    slow = street.drive(20, 50)
    assert not street.refused_in(slow)


def test_shift_of_the_mix_is_no_slowness() -> None:
    """From the 0.1 s path to the 0.4 s path, in use to more than half: the limit does not shrink."""
    street = Street(1_000, Overload(max_concurrency=64))
    street.drive(20, 200, "short")
    street.plan(20, 30, "long", "interactive")
    street.drive(20, 200, "short")
    before = street.limit.value
    mixed = street.drive(20, 80, "long")
    assert before == 64
    assert street.limit.value >= 60
    assert not street.refused_in(mixed)


def test_limit_grows_where_there_is_room() -> None:
    """A load above the initial limit that the models take easily is let in within seconds."""
    street = Street(1_000)
    street.drive(5, 1_500)
    later = street.drive(10, 1_500)
    assert street.limit.value > 150
    assert len(street.refused_in(later)) < 0.02 * 1_500 * 10


def test_idle_limit_does_not_move() -> None:
    """While less than half of it is in use nothing is learned about the limit, so it stays."""
    street = Street(1_000)
    street.drive(60, 10)
    assert street.limit.value == Overload().initial_concurrency


def test_fixed_limit_stays() -> None:
    """`adaptive = false` keeps the initial limit whatever the models do."""
    street = Street(4, Overload(adaptive=False, initial_concurrency=20))
    street.drive(10, 400)
    assert street.limit.value == 20


def test_new_bounds_hold_at_once() -> None:
    """A reload with other bounds moves the limit into them."""
    limit = AdaptiveLimit(Overload())
    limit.configure(Overload(initial_concurrency=8, max_concurrency=10))
    assert limit.value == 10


def test_usual_latency_is_the_paths_own() -> None:
    """Each path has its own usual latency, near its median."""
    street = Street(1_000)
    street.plan(30, 20, "long", "interactive")
    street.drive(30, 50, "short")
    for path, call_s in CALL_S.items():
        assert street.limit.usual_s(path) == pytest.approx(call_s, rel=0.15)
    assert street.limit.usual_s("other") is None


def test_batch_leaves_room() -> None:
    """A flood of batch lines holds its share of the slots at most, and single tickets wait for nothing."""
    street = Street(64, Overload(adaptive=False, initial_concurrency=64))
    street.plan(20, 2_000, "short", "batch")
    street.drive(20, 50)
    waited = [took for _, took, priority in street.answered if priority == "interactive"]
    assert street.gate.held["batch"] == int(64 * Overload().batch_share)
    assert sorted(waited)[len(waited) // 2] < 1.3 * CALL_S["short"]
    assert not street.refused


def test_batch_is_not_starved() -> None:
    """While single tickets alone could fill every slot, a tenth of the freed ones goes to the batch."""
    street = Street(16)
    street.plan(30, 100, "short", "batch")
    span = street.drive(30, 5 * _capacity(16))
    batch = sum(priority == "batch" for _, _, priority in street.answered)
    assert 0.05 < batch / len(street.answered) < 0.2
    assert street.goodput(span) >= 0.85 * _capacity(16)


def test_webhooks_go_before_batches() -> None:
    """Of two that wait, the webhook's worker is served first, though the batch came before it."""
    street = Street(100, Overload(adaptive=False, min_concurrency=1, initial_concurrency=1))
    served: list[Priority] = []
    gate = street.gate
    coming: tuple[Priority, ...] = ("batch", "webhook", "interactive")
    assert gate.take("interactive", 0.0)
    for at, priority in enumerate(coming):
        assert not gate.take(priority, float(at))
        gate.line_up(priority, float(at), partial(served.append, priority))
    going: tuple[Priority, ...] = ("interactive", "interactive", "webhook")
    for priority in going:
        gate.give_back(priority)
    assert served == ["interactive", "webhook", "batch"]


def test_who_joins_in_a_hurry_pulls_forward() -> None:
    """A batch's line that a single ticket waits for too is served as that ticket would be."""
    gate = Street(1, Overload(min_concurrency=1, initial_concurrency=1)).gate
    served: list[str] = []
    assert gate.take("interactive", 0.0)
    gate.line_up("batch", 0.0, lambda: served.append("first"))
    joined = gate.line_up("batch", 1.0, lambda: served.append("joined"))
    gate.hurry(joined, "interactive")
    gate.hurry(joined, "batch")
    gate.give_back("interactive")
    assert served == ["joined"]
    assert gate.held["interactive"] == 1


def test_no_use_to_wait_beyond_the_deadline() -> None:
    """Who would get its slot too late to be answered in time is told so before it waits."""
    gate = Street(1, Overload(adaptive=False, min_concurrency=1, initial_concurrency=1)).gate
    for _ in range(100):
        assert gate.take("interactive", 0.0)
        gate.give_back("interactive", 0.04)
    assert gate.take("interactive", 0.0)
    assert gate.objection("interactive", 0.5) is None
    assert gate.objection("interactive", 0.05) == "too_late"
    assert gate.objection("batch", 0.05) is None


def test_queue_is_short() -> None:
    """The queue takes `queue_length` and no more; a wait that would be too long is refused before that."""
    config = Overload(adaptive=False, min_concurrency=1, initial_concurrency=1, queue_length=3)
    gate = Street(1, config).gate
    assert gate.take("interactive", 0.0)
    for _ in range(3):
        assert gate.objection("interactive", DEADLINE_S) is None
        gate.line_up("interactive", 0.0, lambda: None)
    assert gate.objection("interactive", DEADLINE_S) == "queue_full"
    gate.config = structs.replace(config, queue_length=4)
    gate.give_back("interactive", 1.0)
    assert gate.objection("interactive", DEADLINE_S) == "queue_slow"
