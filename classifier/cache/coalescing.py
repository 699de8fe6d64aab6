"""Identical tickets at the same moment become one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Coalescing(Generic[T]):
    """Promise: at most one run per key at a time; a caller that leaves disturbs nobody.

    The work runs in a task of its own: when the first caller's client hangs up, the others are
    still answered, and what was paid for is still cached and booked.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[T]] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The work's result, and whether this call started it."""
        task = self._running.get(key)
        leads = task is None
        if task is None:
            task = asyncio.ensure_future(_awaited(work))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task), leads

    async def drain(self) -> None:
        """Waits for everything under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
