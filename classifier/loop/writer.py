"""Works the outbox: brings labels into tickets, as fast as each account allows."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import msgspec

from classifier.config.inbox import Inbox as InboxConfig
from classifier.helpdesks.desk import Desk
from classifier.helpdesks.port import RETRIED, Order, Outcome, Written
from classifier.helpdesks.port import Held as HeldValues
from classifier.inbox.queues import Claimed, Queues
from classifier.loop.allowance import Allowance
from classifier.loop.intake import Desks
from classifier.loop.memory import Memory
from classifier.loop.messages import WriteBack, decode
from classifier.loop.observer import LoopObserver
from classifier.loop.worker import Again, Bury, Done, Verdict

_GATHER_S = 0.05
_IN_HAND_S = 1.0  # longer waits go back to the queue, where they block no other account


class Writer:
    """One outbox entry to its verdict. A write that is repeated changes nothing a second time."""

    def __init__(
        self,
        desks: Desks,
        queues: Queues,
        config: InboxConfig,
        observer: LoopObserver,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._desks = desks
        self._memory = Memory(queues, config.remember_s)
        self._config = config
        self._observer = observer
        self._wall_clock = wall_clock
        self._allowances: dict[str, Allowance] = {}
        self._batches: dict[tuple[str, str], _Batch] = {}
        self.waiting = 0  # told by the queue's depth: from some length on, batches are worth while

    async def handle(self, claimed: Claimed) -> Verdict:
        try:
            message = decode(claimed.entry.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Bury("unreadable")
        if not isinstance(message, WriteBack):
            return Bury("unreadable")
        desk = self._desks().get(message.account)
        if desk is None:
            return Again("unknown_account")
        allowance = self._allowance(desk)
        outcome = await self._written(message, desk, allowance)
        if isinstance(outcome, float):
            # Spread over the time that all who wait will need, so that they do not come back at once.
            spread_s = min(60.0, self.waiting / max(0.1, allowance.per_minute / 60.0))
            return Again("held_back", outcome + random.uniform(0.0, spread_s), counts=False)  # noqa: S311
        return await self._verdict(message, outcome, allowance)

    def _allowance(self, desk: Desk) -> Allowance:
        entry = desk.entry
        key = f"{desk.name}:{entry.writes_per_minute}:{entry.share}"
        if key not in self._allowances:
            self._allowances[key] = Allowance(
                entry.writes_per_minute, entry.share, desk.writes_per_minute
            )
        return self._allowances[key]

    async def _written(
        self, message: WriteBack, desk: Desk, allowance: Allowance
    ) -> Outcome | float:
        """The outcome, or how long the account's limit makes us wait."""
        order = Order(message.ticket_id, message.effect)
        key = desk.batch_key(order) if self.waiting >= self._config.batch_from else None
        if key is None and (pause_s := await _token(allowance)):
            return pause_s
        before = await self._memory.about_to_write(
            message.account, message.ticket_id, _pending(message)
        )
        order = Order(message.ticket_id, message.effect, before)
        if key is None:
            return await desk.write(order)
        return await self._in_batch(desk, key, order, allowance)

    async def _in_batch(
        self, desk: Desk, key: str, order: Order, allowance: Allowance
    ) -> Outcome | float:
        """Waits a moment for others with the same key; the first to come writes for all."""
        place = (desk.name, key)
        batch = self._batches.get(place)
        if batch is None or len(batch.orders) >= desk.max_batch:
            batch = self._batches[place] = _Batch()
            batch.task = asyncio.create_task(self._write_batch(desk, place, batch, allowance))
        batch.orders.append(order)
        mine = len(batch.orders) - 1
        found = await asyncio.shield(batch.task)
        return found if isinstance(found, float) else found[mine]

    async def _write_batch(
        self, desk: Desk, place: tuple[str, str], batch: _Batch, allowance: Allowance
    ) -> list[Outcome] | float:
        await asyncio.sleep(_GATHER_S)
        if self._batches.get(place) is batch:
            del self._batches[place]
        pause_s = await _token(allowance)
        return pause_s or list(await desk.write_many(batch.orders))

    async def _verdict(self, message: WriteBack, outcome: Outcome, allowance: Allowance) -> Verdict:
        limited = outcome.status == "rate_limited"
        allowance.heard(outcome.rate, outcome.retry_after_s if limited else None)
        self._observer.writes_allowed(message.account, allowance.per_minute)
        self._observer.write_back(message.account, outcome.status)
        if outcome.written is not None:
            await self._memory.wrote(message.account, message.ticket_id, outcome.written)
        if outcome.status in RETRIED:
            return Again(outcome.status, outcome.retry_after_s, counts=not limited)
        if outcome.status == "refused":
            return Bury("refused")
        if outcome.status != "gone":
            self._observer.looped(
                message.account, max(0.0, self._wall_clock() - message.accepted_at)
            )
        return Done(outcome.status)


async def _token(allowance: Allowance) -> float:
    """Takes a token, waiting for it in hand when it comes soon; else how long it will take."""
    while pause_s := allowance.take():
        if pause_s > _IN_HAND_S:
            return pause_s
        await asyncio.sleep(pause_s)
    return 0.0


class _Batch:
    """Orders that share one call."""

    task: asyncio.Task[list[Outcome] | float]

    def __init__(self) -> None:
        self.orders: list[Order] = []


def _pending(message: WriteBack) -> Written:
    effect = message.effect
    return Written(
        effect.label,
        HeldValues(
            tags=effect.tags, field=effect.field, priority=effect.priority, group=effect.group
        ),
    )
