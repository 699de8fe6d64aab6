"""How long an event loop keeps its timers waiting: what a deadline may be missed by without guilt."""

from __future__ import annotations

from asyncio import AbstractEventLoop

_STEP_S = 0.005
_A_STALL_S = 0.005  # less is how timers are


class Lag:
    """Ticks on a loop until the loop ends; costs it a callback every 5 ms.

    `stalled_s`: all the time that it stood still since it was made, so that the difference between
    two moments is what somebody who waited in between could not help.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.stalled_s = 0.0
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
        late_s = self._loop.time() - self._due
        self._longest_s = max(self._longest_s, late_s)
        if late_s > _A_STALL_S:
            self.stalled_s += late_s
        self._tick()
