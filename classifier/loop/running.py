"""The loop's running parts: two workers, the clock of the polls, and their orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import time

from classifier.config.inbox import Inbox as InboxConfig
from classifier.inbox.queues import QUEUES, Away, Entry, Limits, QueueName, Queues
from classifier.loop.intake import Desks
from classifier.loop.messages import Poll, encode
from classifier.loop.observer import LoopObserver
from classifier.loop.reader import Classify, Corrections, Reader
from classifier.loop.worker import Patience, Terms, Worker
from classifier.loop.writer import Writer

_DEPTH_EVERY_S = 2.0
_POLL_TICK_S = 1.0
_FINISH_S = 15.0
_WRITES_AT_ONCE = 100  # most of them wait for their account's allowance, or share a batch


def limits_of(config: InboxConfig) -> Limits:
    return Limits(lease_s=config.lease_s, dedupe_s=config.dedupe_s)


class Loop:
    """Both workers of one process, and what they share."""

    def __init__(
        self,
        desks: Desks,
        queues: Queues,
        classify: Classify,
        corrections: Corrections | None,
        config: InboxConfig,
        observer: LoopObserver,
    ) -> None:
        self._desks = desks
        self._queues = queues
        self._observer = observer
        self._writer = Writer(desks, queues, config, observer)
        reader = Reader(desks, classify, corrections, queues, config, observer)
        patience = Patience(config.tries, config.longest_pause_s)
        reading = Terms(config.at_once, config.lease_s, patience)
        writing = Terms(max(config.at_once, _WRITES_AT_ONCE), config.lease_s, patience)
        self._workers = [
            Worker(queues, "inbox", reader.handle, reading, observer),
            Worker(queues, "outbox", self._writer.handle, writing, observer),
        ]
        self._working: list[asyncio.Task[None]] = []
        self._polls: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._working = [asyncio.create_task(worker.run()) for worker in self._workers]
        self._polls = asyncio.create_task(self._ask_for_polls())

    async def aclose(self) -> None:
        """Claims nothing more, finishes what is in hand, leaves the rest for the next process."""
        if self._polls is None:
            return
        self._polls.cancel()
        for worker in self._workers:
            worker.stop()
        _, late = await asyncio.wait(self._working, timeout=_FINISH_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._working, self._polls, return_exceptions=True)

    async def watch_depths(self) -> None:
        """Keeps the gauges; also in a process that only takes deliveries."""
        while True:
            for queue in QUEUES:
                await self._tell_depth(queue)
            await asyncio.sleep(_DEPTH_EVERY_S)

    async def _tell_depth(self, queue: QueueName) -> None:
        with contextlib.suppress(Away):
            depth = await self._queues.depth(queue)
            self._observer.queue_depth(queue, depth)
            if queue == "outbox":
                self._writer.waiting = depth.waiting + depth.claimed

    async def _ask_for_polls(self) -> None:
        """One entry per account and interval: its key keeps several processes from polling at once."""
        asked: dict[str, int] = {}
        while True:
            for desk in self._desks().values():
                turn = int(time.time() // desk.entry.reconcile_every_s)
                if desk.entry.reconcile and desk.reconciles and asked.get(desk.name) != turn:
                    poll = f"poll:{desk.name}"
                    ask = Entry(f"{poll}:{turn}", encode(Poll(desk.name)), poll)
                    with contextlib.suppress(Away):
                        await self._queues.put("inbox", [ask])
                        asked[desk.name] = turn
            await asyncio.sleep(_POLL_TICK_S)
