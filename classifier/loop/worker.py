"""Takes entries of one queue and sees each to its end, whatever becomes of the process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from msgspec import Struct

from classifier.inbox.queues import (
    Away,
    Claimed,
    DeadReason,
    FollowUp,
    QueueName,
    Queues,
)
from classifier.logs import event
from classifier.loop.observer import LoopObserver

_IDLE_S = 1.0
_AWAY_S = 0.5
_ALONE_EVERY_S = 1.0
_FIRST_PAUSE_S = 0.5


class Done(Struct, frozen=True):
    """The entry is worked off. `outcome`: for the metrics, from a closed set."""

    outcome: str
    then: tuple[FollowUp, ...] = ()


class Again(Struct, frozen=True):
    """It must wait. `after_s` None: as long as its tries say. `counts`: whether this was a try."""

    outcome: str
    after_s: float | None = None
    counts: bool = True


class Bury(Struct, frozen=True):
    """It can never be worked off."""

    reason: DeadReason


Verdict = Done | Again | Bury
Handle = Callable[[Claimed], Awaitable[Verdict]]


class Patience(Struct, frozen=True):
    """How often and how late: pauses double from half a second, with full jitter."""

    tries: int
    longest_pause_s: float

    def pause_s(self, tries: int) -> float:
        highest = min(self.longest_pause_s, _FIRST_PAUSE_S * 2.0 ** min(tries, 20))
        return random.uniform(highest / 2, highest)  # noqa: S311 -- spreads load, hides nothing


class Terms(Struct, frozen=True):
    """How much one worker takes on, and how it keeps what it has taken."""

    at_once: int
    lease_s: float
    patience: Patience


class Worker:
    """Promise: every claimed entry is ended, handed back, or comes back when its lease runs out.

    Entries of the quarantine lane run alone: nothing else of this queue is in this process's
    hands meanwhile, so that nobody is blamed for a neighbour's crash.
    """

    def __init__(
        self,
        queues: Queues,
        queue: QueueName,
        handle: Handle,
        terms: Terms,
        observer: LoopObserver,
    ) -> None:
        self._queues = queues
        self._queue: QueueName = queue
        self._handle = handle
        self._at_once = terms.at_once
        self._lease_s = terms.lease_s
        self._patience = terms.patience
        self._observer = observer
        self._running: dict[asyncio.Task[None], Claimed] = {}
        self._stopping = asyncio.Event()
        self._look_alone_at = 0.0

    async def run(self) -> None:
        """Works until `stop`; a queue that is away is asked again and again."""
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep_leases())
            while not self._stopping.is_set():
                try:
                    await self._step()
                except Away:
                    await self._pause(_AWAY_S)
            await self._finish()
            keeping.cancel()

    def stop(self) -> None:
        """Claims nothing more; `run` returns when what is in hand has ended."""
        self._stopping.set()

    async def _step(self) -> None:
        if await self._alone_waits():
            await self._finish()
            await self._take(1, alone=True)
            await self._finish()
            return
        free = self._at_once - len(self._running)
        if free <= 0:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        elif not await self._take(free):
            await self._queues.wait(self._queue, _IDLE_S)

    async def _alone_waits(self) -> bool:
        """Looks now and then, so that a busy queue does not forget its quarantine lane."""
        if perf_counter() < self._look_alone_at:
            return False
        depth = await self._queues.depth(self._queue)
        self._observer.queue_depth(self._queue, depth)
        if depth.alone == 0:
            self._look_alone_at = perf_counter() + _ALONE_EVERY_S
        return depth.alone > 0

    async def _take(self, most: int, *, alone: bool = False) -> bool:
        found = await self._queues.claim(self._queue, most, alone=alone)
        for claimed in found:
            task = asyncio.create_task(self._see_to(claimed))
            self._running[task] = claimed
            task.add_done_callback(self._running.pop)
        return bool(found)

    async def _see_to(self, claimed: Claimed) -> None:
        started = perf_counter()
        verdict = await self._verdict(claimed)
        try:
            outcome = await self._end(claimed, verdict)
        except Away:
            outcome = "unfinished"  # its lease runs out, then it is done again
        self._observer.entry_ended(self._queue, outcome, perf_counter() - started)

    async def _verdict(self, claimed: Claimed) -> Verdict:
        try:
            return await self._handle(claimed)
        except Away:
            return Again("away", counts=False)
        except Exception as error:  # noqa: BLE001 -- one entry's bug must not stop all others
            # Never its text: that may hold the ticket's.
            event(logging.ERROR, "loop.unexpected", queue=self._queue, error=type(error).__name__)
            return Again("unexpected")

    async def _end(self, claimed: Claimed, verdict: Verdict) -> str:
        if isinstance(verdict, Done):
            await self._queues.done(claimed, verdict.then)
            return verdict.outcome
        if isinstance(verdict, Bury):
            return await self._bury(claimed, verdict.reason)
        if verdict.counts and claimed.tries + 1 >= self._patience.tries:
            return await self._bury(claimed, "exhausted")
        pause_s = self._patience.pause_s(claimed.tries)
        after_s = pause_s if verdict.after_s is None else verdict.after_s
        await self._queues.again(claimed, after_s, counts=verdict.counts)
        return verdict.outcome

    async def _bury(self, claimed: Claimed, reason: DeadReason) -> str:
        await self._queues.bury(claimed, reason)
        event(logging.WARNING, "loop.dead_letter", queue=self._queue, reason=reason)
        return f"dead_{reason}"

    async def _finish(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            in_hand: Sequence[Claimed] = tuple(self._running.values())
            if in_hand:
                with contextlib.suppress(Away):
                    await self._queues.renew(in_hand)

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
