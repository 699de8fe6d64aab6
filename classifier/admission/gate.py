"""Slots and the queue before them: who is next, and who need not wait because it is no use.

First come, first served within a priority. The queue is short and an arrival is refused at once
when it would wait too long, so nobody is refused late and a newest-first order has nothing to win.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from classifier.admission.limit import AdaptiveLimit
from classifier.config.overload import Overload

# In the order in which they are served.
Priority = Literal["interactive", "webhook", "batch"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
# Why a ticket was refused. A closed set, because it is a metric label.
Shed = Literal["in_flight", "batches", "queue_full", "queue_slow", "waited", "too_late", "late"]
# While more urgent tickets wait, one freed slot of so many goes to the longest waiting other one.
TURN = 10
_HOLD_WEIGHT = 0.1
# Waits vary about their mean: who is let in to wait should seldom be refused in the end.
_SURE = 2.0


class Waiter:
    """A place in the queue. `grant` is called once, when it has become a slot."""

    __slots__ = ("grant", "granted", "priority", "since")

    def __init__(self, priority: Priority, since: float, grant: Callable[[], None]) -> None:
        self.priority = priority
        self.since = since
        self.grant = grant
        self.granted = False


class Gate:
    """Promise: never more slots taken than the limit, nor more than their share by batches.

    Pure and synchronous; moments are passed in. What was taken is given back exactly once.
    """

    def __init__(self, config: Overload, limit: AdaptiveLimit) -> None:
        self.config = config
        self.limit = limit
        self.held: dict[Priority, int] = dict.fromkeys(PRIORITIES, 0)
        self._queues: dict[Priority, dict[Waiter, None]] = {name: {} for name in PRIORITIES}
        self._hold_s = 0.0  # how long a slot is held, on average
        self._handed = 0

    @property
    def in_use(self) -> int:
        return sum(self.held.values())

    def waiting(self, priority: Priority) -> int:
        return len(self._queues[priority])

    def has_room(self, priority: Priority) -> bool:
        """Whether there is a free slot that nobody as urgent waits for already."""
        upto = PRIORITIES[: PRIORITIES.index(priority) + 1]
        return self._free(priority) and not any(self._queues[one] for one in upto)

    def take(self, priority: Priority, now: float) -> bool:
        """A free slot, where there is room; otherwise the limit learns that somebody wanted one."""
        if self.has_room(priority):
            self.held[priority] += 1
            return True
        self.limit.press(now)
        return False

    def objection(self, priority: Priority, left_s: float) -> Shed | None:
        """Why it is no use to wait for somebody with so much time left, if that is so."""
        if priority != "interactive":
            return None  # it has patience; its own doors bound how many there are
        ahead = self.waiting(priority)
        if ahead >= self.config.queue_length:
            return "queue_full"
        expected_s = (ahead + 1) * self._hold_s / max(1, self.limit.value)
        if expected_s * _SURE > self.config.queue_wait_s:
            return "queue_slow"
        return "too_late" if expected_s + self._hold_s > left_s else None

    def line_up(self, priority: Priority, now: float, grant: Callable[[], None]) -> Waiter:
        waiter = Waiter(priority, now, grant)
        self._queues[priority][waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> bool:
        """Out of the queue; false for one that has its slot, or had left before."""
        queue = self._queues[waiter.priority]
        if waiter not in queue:
            return False
        del queue[waiter]
        return True

    def hurry(self, waiter: Waiter, priority: Priority) -> None:
        """Somebody more urgent came to need the same answer."""
        if PRIORITIES.index(priority) < PRIORITIES.index(waiter.priority) and self.leave(waiter):
            waiter.priority = priority
            self._queues[priority][waiter] = None

    def give_back(self, priority: Priority, held_s: float | None = None) -> None:
        """`held_s`: for how long it was used; None when it was not."""
        self.held[priority] -= 1
        if held_s is not None:
            self._hold_s += _HOLD_WEIGHT * (held_s - self._hold_s)
        self.hand_out()

    def hand_out(self) -> None:
        """Free slots go to who waits; to be called when a slot is freed or the limit has changed."""
        while (waiter := self._next()) is not None:
            self.leave(waiter)
            self.held[waiter.priority] += 1
            self._handed += 1
            waiter.granted = True
            waiter.grant()

    def _next(self) -> Waiter | None:
        ready = [next(iter(q)) for name, q in self._queues.items() if q and self._free(name)]
        if len(ready) > 1 and self._handed % TURN == TURN - 1:
            return min(ready[1:], key=lambda waiter: waiter.since)
        return ready[0] if ready else None

    def _free(self, priority: Priority) -> bool:
        limit = self.limit.value
        if self.in_use >= limit:
            return False
        return priority != "batch" or self.held["batch"] < max(
            1, int(limit * self.config.batch_share)
        )
