"""A second call beside one that takes unusually long: the first label wins.

primary ──────┬───────────────────── hung up on ✗
              └ delay ─▶ second ──── label ✓           what lost is paid for, under `hedge`
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from msgspec import Struct, structs

from classifier.paths.path import Path
from classifier.records import REPLIED, Attempt, Reason


class Raced(Struct, frozen=True):
    """All calls of a race in the order of their start, and the one that counts for the ticket."""

    attempts: tuple[Attempt, ...]
    counts: Attempt


class Race:
    """One ticket's call to `first`, and to `second` (the same path or another) after a delay.

    `left_s`: what is left of the ticket's time. `lose`: takes over a call that was hung up on,
    until its connection is released; the answer does not wait for that.
    """

    def __init__(
        self,
        first: Path,
        second: Path,
        text: str,
        left_s: Callable[[], float],
        lose: Callable[[asyncio.Task[Attempt]], None],
    ) -> None:
        self._first = first
        self._second = second
        self._text = text
        self._left_s = left_s
        self._lose = lose

    async def run(self, timeout_s: float, delay_s: float, reason: Reason) -> Raced:
        """Never raises but when it is cancelled, and then both calls are."""
        started = self._first.now()
        primary = asyncio.create_task(self._first.ask(self._text, timeout_s, reason))
        calls = [primary]
        try:
            await asyncio.wait(calls, timeout=delay_s)
            if primary.done() or not self._first.guard.hedge(self._left_s(), self._second.guard):
                only = await primary
                return Raced((only,), only)
            second_s = min(self._second.config.timeout_s, self._left_s())
            hedge = asyncio.create_task(self._second.ask(self._text, second_s, "hedge"))
            calls.append(hedge)
            hedged = self._first.now()
            await _first_label({primary, hedge})
            now = self._first.now()
            return self._judge(
                _result(primary), _result(hedge), reason, now - started, now - hedged
            )
        finally:
            for call in calls:
                if not call.done():
                    call.cancel()
                    self._lose(call)

    def _judge(
        self,
        primary: Attempt | None,
        hedge: Attempt | None,
        reason: Reason,
        primary_s: float,
        hedge_s: float,
    ) -> Raced:
        """The winner is booked as the ticket's call, the loser as the hedge, whichever is which."""
        first = primary or self._first.cancelled(self._text, primary_s)
        second = hedge or self._second.cancelled(self._text, hedge_s)
        outcome: Literal["won", "lost", "neither"] = "lost"  # two labels at once, too
        if first.label is None:
            outcome = "neither" if second.label is None else "won"
        self._first.guard.hedged(outcome, primary_s if outcome == "won" else None)
        if outcome == "won":
            first = structs.replace(first, reason="hedge")
            second = structs.replace(second, reason=reason)
            return Raced((first, second), second)
        counts = second if first.outcome not in REPLIED and second.outcome in REPLIED else first
        return Raced((first, second), counts)


async def _first_label(calls: set[asyncio.Task[Attempt]]) -> None:
    """Returns when one call has a label, or none is left: a refusal or nonsense wins nothing."""
    waiting = calls
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if any(call.result().label is not None for call in done):
            return


def _result(call: asyncio.Task[Attempt]) -> Attempt | None:
    return call.result() if call.done() else None
