"""How long an event loop keeps its timers waiting: what a deadline may be missed by without guilt."""

from __future__ import annotations

from asyncio import AbstractEventLoop

_STEP_S = 0.005


class Lag:
    """Ticks on a loop until the loop ends; costs it a callback every 5 ms."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._longest_s = 0.0
        self._tick()

    def take_s(self) -> float:
        """The longest wait since the last call, a wait that is still going on included."""
        found = max(self._longest_s, self._loop.time() - self._due)
        self._longest_s = 0.0
        return max(0.0, found)

    def _tick(self) -> None:
        self._due = self._loop.time() + _STEP_S
        self._loop.call_at(self._due, self._tock)

    def _tock(self) -> None:
        self._longest_s = max(self._longest_s, self._loop.time() - self._due)
        self._tick()
