"""The loop that proofs over days stand on: quick, exact, repeatable, and honest about deadlocks."""

from __future__ import annotations

import asyncio
from random import Random
from time import perf_counter

import pytest

from tests.support.virtual_time import NothingWillHappen, clock, run

DAY_S = 86_400.0


def test_waiting_takes_no_time() -> None:
    """A year of sleeping is over at once, and the clock says that it was a year."""

    async def year() -> float:
        for _ in range(365):
            await asyncio.sleep(DAY_S)
        return clock()()

    started = perf_counter()
    assert run(year()) == pytest.approx(365 * DAY_S)
    assert perf_counter() - started < 10.0


def test_timeouts_fire_on_time() -> None:
    """asyncio's own timeout and wait end exactly when they should, after a year as on the first day."""

    async def late() -> list[float]:
        now = clock()
        found = []
        for start_s in (0.0, 365 * DAY_S):
            await asyncio.sleep(start_s)
            began = now()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.25):
                    await asyncio.sleep(1.0)
            await asyncio.wait([asyncio.ensure_future(asyncio.sleep(9.0))], timeout=0.5)
            found.append(now() - began)
        return found

    assert run(late()) == pytest.approx([0.75, 0.75], abs=1e-5)


async def _order(tasks: int) -> list[int]:
    found: list[int] = []

    async def say(number: int, random: Random) -> None:
        await asyncio.sleep(random.choice((0.1, 0.2)))
        found.append(number)

    random = Random(1)
    await asyncio.gather(*(say(number, random) for number in range(tasks)))
    return found


def test_a_seed_is_a_schedule() -> None:
    """The same seed runs tasks in the same order, another one in another; none keeps asyncio's."""
    assert run(_order(30), seed=1) == run(_order(30), seed=1)
    assert run(_order(30), seed=1) != run(_order(30), seed=2)
    assert run(_order(30)) == run(_order(30))


def test_deadlocks_are_told() -> None:
    """When nothing can ever happen again the run fails instead of hanging."""

    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingWillHappen):
        run(stuck())
