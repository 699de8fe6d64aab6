"""The event loop's own lag: measured all the time, and a stall is seen."""

from __future__ import annotations

import asyncio
import time

from classifier.metrics.loop import watch
from tests.support.house import Service
from tests.support.waiting import eventually

LAG = "classifier_event_loop_lag_seconds"


async def test_lag_is_measured_without_tickets(house: Service) -> None:
    """A quiet service tells of its loop, too: the figure does not need traffic."""

    async def measured() -> bool:
        return await house.metric(f"{LAG}_count") >= 3

    await eventually(measured, within_s=10.0)


async def test_stall_is_seen(house: Service) -> None:
    """Something that blocks the loop for 300 ms makes one timer at least 150 ms late."""
    time.sleep(0.3)  # noqa: ASYNC251 -- the service runs in this loop: that is the planted stall

    async def seen() -> bool:
        late = await house.metric(f"{LAG}_count") - await house.metric(f"{LAG}_bucket", le="0.125")
        return late >= 1

    await eventually(seen, within_s=10.0)


async def test_on_time_is_not_late() -> None:
    """A timer that goes off when it is due counts as 0, never below."""
    found: list[float] = []
    task = asyncio.create_task(watch(found.append, pause_s=0.001))
    await eventually(lambda: len(found) >= 20, within_s=10.0)
    task.cancel()
    assert min(found) >= 0.0
