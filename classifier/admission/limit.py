"""How many tickets may ask a model at once: a number that follows the models' latency.

After Netflix's Gradient2 (concurrency-limits, `Gradient2Limit.java`), of which are kept: the limit
is multiplied by tolerance / (latency / usual latency), clipped to [0.5, 1]; a square root is added
for the queue that finds more room; and it does not move while less than half of it is in use, nor
shrink while everybody finds a slot: brown-outs in quiet hours refuse nobody.
Three things differ, because tickets take paths of 0.1 s and of 0.4 s, at rates from 0.5 a second:

- Latency is a ratio to the *path's own* usual, and the geometric mean of a round's ratios counts: a
  shift of the mix from short to long is no slowness, a tail of 2 % no overload.
- A round counts only calls that began under the current limit, and the limit moves once a round:
  a queue that is draining is not answered by one cut after the other (as TCP, once a round trip).
- What is usual is learned while everybody finds a slot. Under pressure a latency contains our own
  queue; learning it would let the limit drift up for as long as the overload lasts. So after some
  seconds of pressure one round runs at a third of it, and what it sees is the new usual: slower
  models are told from a queue of our own making (as BBR's ProbeRTT and Envoy's minRTT do).
"""

from __future__ import annotations

import math

from classifier.config.overload import Overload

ROUND_CALLS = 10
ROUND_S = 0.1
PROBE_AFTER_S, PROBE_SHARE = 5.0, 1 / 3
# The usual latency is an average over about so many calls: by how much of the limit was in use.
_IDLE, _BUSY, _PROBED = 50.0, 500.0, 10.0


class AdaptiveLimit:
    """Pure arithmetic: every moment is passed in, in seconds of one monotonic clock."""

    def __init__(self, config: Overload) -> None:
        self.config = config
        self.ratio = 1.0
        self._value = float(config.initial_concurrency)
        self._usual: dict[str, float] = {}  # log of seconds, by path
        self._changed_at = -math.inf
        self._pressed_since: float | None = None
        self._probing = False
        self._round = _Round()

    @property
    def value(self) -> int:
        if not self.config.adaptive:
            return self.config.initial_concurrency
        value = self._value * PROBE_SHARE if self._probing else self._value
        return max(self.config.min_concurrency, int(value))

    def configure(self, config: Overload) -> None:
        """New bounds; what was learned stays."""
        self.config = config
        self._value = self._bounded(self._value)

    def usual_s(self, path: str) -> float | None:
        """The path's latency while nothing presses; None before the first calls."""
        found = self._usual.get(path)
        return None if found is None else math.exp(found)

    def press(self, now: float) -> None:
        """Somebody found no free slot."""
        self._round.pressed = True
        if self._pressed_since is None:
            self._pressed_since = now

    def finished(self, path: str, took_s: float, began: float, in_flight: int, now: float) -> None:
        """One call to a model ended; `in_flight` counts slots in use, its own included."""
        current = self._round
        if began < self._changed_at:
            return  # it waited in a queue that another limit made
        current.add(path, math.log(max(took_s, 1e-6)), in_flight)
        if current.opened is None:
            current.opened = now
        if current.calls >= ROUND_CALLS and now - max(current.opened, self._changed_at) >= ROUND_S:
            self._close(current, now)
            self._round = _Round()

    def _close(self, ended: _Round, now: float) -> None:
        if self._probing:
            self._learn(ended, _PROBED)
            self._probing = False
            self._pressed_since = self._changed_at = now
        elif ended.pressed:
            self._learn(ended, math.inf)
            gradient = self.config.latency_tolerance / self.ratio
            self._move(min(1.0, max(0.5, gradient)), now)
            since = self._pressed_since
            self._probing = since is not None and now - since >= PROBE_AFTER_S
        else:
            self._pressed_since = None
            idle = ended.peak <= self.value / 2
            self._learn(ended, _IDLE if idle else _BUSY)
            if not idle and self.ratio < self.config.latency_tolerance:
                self._move(1.0, now)

    def _move(self, gradient: float, now: float) -> None:
        self._value = self._bounded(self._value * gradient + math.sqrt(self._value))
        self._changed_at = now

    def _learn(self, ended: _Round, memory_calls: float) -> None:
        """A path that is new is taken as it is, whatever the pressure."""
        for path, (count, total) in ended.sums.items():
            usual = self._usual.setdefault(path, total / count)
            self._usual[path] = usual + count / (count + memory_calls) * (total / count - usual)
        self.ratio = math.exp(ended.mean_above(self._usual))

    def _bounded(self, value: float) -> float:
        return min(self.config.max_concurrency, max(self.config.min_concurrency, value))


class _Round:
    """The calls between two looks at the limit."""

    def __init__(self) -> None:
        self.opened: float | None = None
        self.calls = 0
        self.peak = 0
        self.pressed = False
        self.sums: dict[str, tuple[int, float]] = {}  # by path: calls, logs of their seconds

    def add(self, path: str, log_s: float, in_flight: int) -> None:
        count, total = self.sums.get(path, (0, 0.0))
        self.sums[path] = (count + 1, total + log_s)
        self.calls += 1
        self.peak = max(self.peak, in_flight)

    def mean_above(self, usual: dict[str, float]) -> float:
        """Mean distance from each path's usual, in logs."""
        above = sum(total - count * usual[path] for path, (count, total) in self.sums.items())
        return above / self.calls
