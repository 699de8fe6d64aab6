"""Identical tickets at the same moment become one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Shared(Generic[T]):
    """A piece of work and how many wait for it."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.callers = 0


class Coalescing(Generic[T]):
    """Promise: at most one run per key at a time; a caller that leaves disturbs nobody.

    `abandon` is asked when the last caller has left: true when it has stopped the work, because
    nothing was paid for yet.

    The work runs in a task of its own: when the first caller's client hangs up, the others are
    still answered, and what was paid for is still cached and booked.
    """

    def __init__(self, abandon: Callable[[str], bool] = lambda _: False) -> None:
        self._running: dict[str, _Shared[T]] = {}
        self._abandon = abandon

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The work's result, and whether this call started it."""
        shared = self._running.get(key)
        leads = shared is None
        if shared is None:
            shared = self._start(key, work)
        shared.callers += 1
        try:
            return await asyncio.shield(shared.task), leads
        finally:
            shared.callers -= 1
            if not shared.callers and not shared.task.done() and self._abandon(key):
                self._forget(key, shared)

    async def drain(self) -> None:
        """Waits for everything under way."""
        tasks = [shared.task for shared in self._running.values()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: str, work: Callable[[], Awaitable[T]]) -> _Shared[T]:
        shared = self._running[key] = _Shared(asyncio.ensure_future(_awaited(work)))
        shared.task.add_done_callback(lambda _: self._forget(key, shared))
        return shared

    def _forget(self, key: str, shared: _Shared[T]) -> None:
        """Whoever asks for the key from now on starts anew."""
        if self._running.get(key) is shared:
            del self._running[key]
        if shared.task.done() and not shared.task.cancelled():
            shared.task.exception()  # nobody may be left to see it


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
