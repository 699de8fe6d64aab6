"""The asyncio side of the gate: a slot for as long as a ticket asks models, or a refusal at once."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter
from typing import Protocol

from classifier.admission.gate import Gate, Priority, Shed, Waiter
from classifier.admission.limit import AdaptiveLimit
from classifier.config.overload import Overload
from classifier.errors import Overloaded
from classifier.logs import event
from classifier.records import REPLIED, Attempt, Door

# Any other door is a worker's that reads webhooks from the inbox.
_PRIORITIES: dict[str, Priority] = {
    "classify": "interactive",
    "batch": "batch",
    "command": "batch",
}
_CALM_S = 10.0
_WORDS: dict[Shed, str] = {
    "in_flight": "too many tickets are in flight",
    "batches": "too many batches are being answered",
    "queue_full": "too many tickets wait for a model",
    "queue_slow": "the wait for a model would be too long",
    "waited": "no model was free in time",
    "too_late": "the wait for a model would outlast the ticket's time budget",
    "late": "more comes than this process can read in time",
}


class AdmissionObserver(Protocol):
    """Told about tickets at the gate. Promise: returns at once and never raises."""

    def watch(self, gate: Gate) -> None: ...

    def admitted(self, priority: Priority, queued_s: float) -> None: ...

    def shed(self, door: Door, reason: Shed) -> None: ...


class Slot:
    """Leave to ask models. `queued_s` is what was waited for it."""

    __slots__ = ("attempts", "began", "queued_s")

    def __init__(self, queued_s: float, began: float) -> None:
        self.queued_s = queued_s
        self.began = began
        self.attempts: Sequence[Attempt] = ()

    def ran(self, attempts: Sequence[Attempt]) -> None:
        """What came of it: the limit follows how long they took."""
        self.attempts = attempts


class _Place:
    """One who waits, and the future that its slot will be."""

    __slots__ = ("future", "waiter")

    def __init__(self, waiter: Waiter, future: asyncio.Future[None]) -> None:
        self.waiter = waiter
        self.future = future


class Admission:
    """Promise: a slot is freed whatever ends the ticket; who stops waiting leaves the queue."""

    def __init__(
        self,
        config: Overload,
        observer: AdmissionObserver,
        now: Callable[[], float] = perf_counter,
    ) -> None:
        self.now = now
        self.limit = AdaptiveLimit(config)
        self.gate = Gate(config, self.limit)
        self._observer = observer
        self._places: dict[str, _Place] = {}
        self._batches = 0
        self._shed = 0
        self._shed_at = 0.0
        self._overloaded = False
        observer.watch(self.gate)

    @property
    def config(self) -> Overload:
        return self.gate.config

    @property
    def is_pressed(self) -> bool:
        """Whether no more than half of the slots are free: work that can be left out should be."""
        return self.gate.in_use * 2 > self.limit.value

    def would_refuse(self, door: Door) -> bool:
        """Whether a ticket of this door that needs a model now would get none."""
        priority = _PRIORITIES.get(door, "webhook")
        if self.gate.has_room(priority):
            return False
        return self.gate.objection(priority, math.inf) is not None

    def configure(self, config: Overload) -> None:
        """A config went live: new bounds for whoever comes next."""
        self.gate.config = config
        self.limit.configure(config)
        self.gate.hand_out()

    def check(self, door: Door, in_flight: int) -> None:
        """Before any work is done for a single ticket. Raises Overloaded."""
        if in_flight >= self.config.max_in_flight:
            raise self.refusal(door, "in_flight")

    def check_batch(self) -> None:
        """Before a batch's body is read. Raises Overloaded."""
        if self._batches >= self.config.max_batches:
            raise self.refusal("batch", "batches")

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Counts a batch for as long as it is answered."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1

    @asynccontextmanager
    async def slot(self, key: str, door: Door, until: float) -> AsyncIterator[Slot]:
        """Waits for a slot and holds it. Raises Overloaded, at once where waiting is no use.

        `key` is what `hurry` and `abandon` call it by while it waits; `until` is the moment of `now`
        to which it may wait.
        """
        priority, asked = _PRIORITIES.get(door, "webhook"), self.now()
        if not self.gate.take(priority, asked):
            priority = await self._wait(key, door, priority, until)
        slot = Slot(self.now() - asked, self.now())
        self._observer.admitted(priority, slot.queued_s)
        self._calm(slot.began)
        try:
            yield slot
        finally:
            self._ended(slot, priority)

    def hurry(self, key: str, door: Door) -> None:
        """A ticket of this door joins the one that waits under this key."""
        if (place := self._places.get(key)) is not None:
            self.gate.hurry(place.waiter, _PRIORITIES.get(door, "webhook"))
            self.gate.hand_out()

    def abandon(self, key: str) -> bool:
        """Nobody wants the answer any more. True when it was still waiting, and is not now."""
        place = self._places.get(key)
        return place is not None and self.gate.leave(place.waiter) and place.future.cancel()

    async def _wait(self, key: str, door: Door, priority: Priority, until: float) -> Priority:
        left_s = until - self.now()
        if (reason := self.gate.objection(priority, left_s)) is not None:
            raise self.refusal(door, reason)
        if priority == "interactive":
            left_s = min(left_s, self.config.queue_wait_s)
        place = self._line_up(priority)
        loop = asyncio.get_running_loop()
        bell = loop.call_later(max(0.0, left_s), self._give_up, place, door)
        self._places[key] = place
        try:
            await place.future
        except asyncio.CancelledError:
            self.gate.leave(place.waiter)
            if place.waiter.granted:  # in the same moment: it goes to the next one
                self.gate.give_back(place.waiter.priority)
            raise
        finally:
            bell.cancel()
            if self._places.get(key) is place:
                del self._places[key]
        return place.waiter.priority

    def _line_up(self, priority: Priority) -> _Place:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def grant() -> None:
            if not future.done():  # cancelled, and its task does not know yet
                future.set_result(None)

        return _Place(self.gate.line_up(priority, self.now(), grant), future)

    def _give_up(self, place: _Place, door: Door) -> None:
        if self.gate.leave(place.waiter):
            place.future.set_exception(self.refusal(door, "waited"))

    def _ended(self, slot: Slot, priority: Priority) -> None:
        now, in_use = self.now(), self.gate.in_use
        for attempt in slot.attempts:
            # An error that came at once says nothing of how long answers take.
            if attempt.outcome in REPLIED or attempt.outcome == "timeout":
                self.limit.finished(attempt.path, attempt.duration_s, slot.began, in_use, now)
        self.gate.give_back(priority, now - slot.began)

    def refusal(self, door: Door, reason: Shed) -> Overloaded:
        """Counts it. To be raised, or told."""
        self._observer.shed(door, reason)
        self._shed += 1
        self._shed_at = self.now()
        if not self._overloaded:
            self._overloaded = True
            event(logging.WARNING, "overload.began", door=door, reason=reason)
        # Spread, so that those refused together do not come back together.
        return Overloaded(f"{_WORDS[reason]}; try again later", retry_after_s=1 + self._shed % 3)

    def _calm(self, now: float) -> None:
        """Told once, by the first ticket admitted after a while in which none was refused."""
        if self._overloaded and now - self._shed_at > _CALM_S:
            event(logging.WARNING, "overload.ended", refused=self._shed)
            self._overloaded = False
            self._shed = 0
