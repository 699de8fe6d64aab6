"""A seeded asyncio loop in which waiting takes no time: hours of timeouts and pauses in seconds.

    async def day() -> int: ...
    calls = run(day(), seed=7)          # the same seed gives the same day, bit for bit

Nothing but tasks, timers, futures and queues works in it: there are no sockets and no threads, so a
model server is an Endpoint that sleeps. Code that tells the time needs the loop's: `clock()`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
# Timers within one microsecond are one moment: after a year a float no longer tells 4 ns apart.
_RESOLUTION_S = 1e-6


class NothingWillHappen(Exception):
    """Every task waits and no timer is set: a deadlock, which real time would hide as a hang."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer whenever nothing is ready.

    With a seed, what is ready at the same moment runs in a random order: asyncio's own order is an
    accident that code should not lean on. Without one it is asyncio's.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._now = 0.0
        self._order = None if seed is None else Random(seed)
        super().__init__(_Jump(self._advance))
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        return self._now

    def _advance(self, pause_s: float) -> None:
        self._now += pause_s

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]  # the private queue of BaseEventLoop
        if self._order is not None and len(ready) > 1:
            handles = list(ready)
            self._order.shuffle(handles)
            ready.clear()
            ready.extend(handles)
        super()._run_once()  # type: ignore[misc]  # as above


def run(main: Coroutine[Any, Any, T], seed: int | None = None) -> T:
    """`asyncio.run` in virtual time. Raises NothingWillHappen for a deadlock."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(seed)) as runner:
        return runner.run(main)


def clock() -> Callable[[], float]:
    """The running loop's time, for code that takes a clock as a parameter."""
    return asyncio.get_running_loop().time


class _Jump(selectors.SelectSelector):
    """Waits for nothing: tells how long it was asked to."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappen("every task waits, and no timer is set")
        if timeout > 0:
            self._advance(timeout)
        return []
