"""The budget proof: whatever the schedule, extra calls stay a share of the tickets."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.config.guards import Hedge
from tests.support.virtual_model import Desk, Drawn, VirtualModel, lognormal
from tests.support.virtual_time import clock, run

FAULTS = (
    "connect", "reset", "server_error", "garbage", "rate_limited", "loading", "refused", "nonsense",
    "quota", "hang",
)  # fmt: skip


class Weather:
    """Spells of seconds to minutes, each with a rate, a slowness and faults of its own."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._until = -1.0
        self.turn(0.0)

    def turn(self, now: float) -> None:
        if now < self._until:
            return
        rng = self._rng
        self._until = now + rng.choice((1.0, 10.0, 60.0, 300.0))
        self.per_s = rng.choice((0.58, 5.0, 50.0))
        self._slow = rng.choice((1.0, 1.0, 3.0, 30.0))
        self._share = rng.choice((0.0, 0.01, 0.2, 1.0))
        self._faults = rng.sample(FAULTS, rng.randrange(1, 4))
        self._stragglers = rng.choice((0.0, 0.02, 0.3))

    def draw(self) -> Drawn:
        rng = self._rng
        seconds = lognormal(rng, 0.3) * self._slow
        if rng.random() < self._stragglers:
            seconds *= 10
        if rng.random() >= self._share:
            return Drawn(seconds)
        fault = rng.choice(self._faults)
        if fault == "hang":
            return Drawn(1e9)
        return Drawn(rng.choice((0.001, seconds)), fault, rng.choice((None, 0.0, 0.3, 20.0)))


async def _calls(seed: int, tickets: int) -> tuple[int, int, int]:
    """Tickets that were asked, their upstream calls, and the hedges among these."""
    rng, now = random.Random(seed), clock()
    weather = Weather(rng)
    model = VirtualModel(weather.draw)
    desk = Desk(model, random.Random(seed), timeout_s=1.5, retries=2, hedge=Hedge())
    asked = 0

    async def one() -> None:
        nonlocal asked
        found = await desk.ask(rng.choice((0.05, 0.5, 8.0)))
        asked += bool(found.attempts)

    under_way: set[asyncio.Task[None]] = set()
    for _ in range(tickets):
        weather.turn(now())
        await asyncio.sleep(rng.expovariate(weather.per_s))
        task = asyncio.create_task(one())
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    await desk.runner.aclose()
    assert model.open == 0  # every loser let go
    assert len(desk.seen.attempts) == model.calls  # and every call is booked, once
    assert all(a.cost.nanodollars for a in desk.hedges() if a.outcome == "cancelled")
    return asked, model.calls, len(desk.hedges())


def check(seed: int, tickets: int) -> int:
    """The proof for one schedule; returns the calls it saw."""
    asked, calls, hedges = run(_calls(seed, tickets), seed=seed)
    assert calls <= 1.10 * asked + 10, (seed, asked, calls)
    assert hedges <= 0.05 * asked + 3, (seed, asked, hedges)
    return calls


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_extra_calls_stay_a_share_of_the_tickets(seed: int) -> None:
    """Upstream attempts <= 1.10 x tickets + 10 and hedges <= 5 % + 3, in any weather."""
    check(seed, 800)
