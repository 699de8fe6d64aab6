"""How late the event loop runs what is due: every ticket in flight waits that long as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from classifier.metrics.maker import Maker

PAUSE_S = 0.1


class LoopMetrics:
    """The lag, as a histogram: a mean would hide the stalls that it is for."""

    def __init__(self, make: Maker) -> None:
        self._lag = make.histogram(
            "classifier_event_loop_lag_seconds",
            "How late a timer of the event loop went off, ten times a second.",
            (),
        )
        self.late = self._lag.series().observe


async def watch(late: Callable[[float], None], pause_s: float = PAUSE_S) -> None:
    """Sleeps, and tells how much longer that took. Promise: ends only when it is cancelled."""
    while True:
        due = perf_counter() + pause_s
        await asyncio.sleep(pause_s)
        late(max(0.0, perf_counter() - due))
