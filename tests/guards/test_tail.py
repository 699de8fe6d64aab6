"""The tail in virtual time: what a second call cuts off, what it costs, and when there is none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import ContextVar

import pytest

from classifier.config.guards import Hedge
from tests.support.virtual_model import Desk, Drawn, VirtualModel, lognormal
from tests.support.virtual_time import clock, run

Draw = Callable[[float, random.Random], Drawn]
# A ticket's own chance: its first call takes as long with a hedge as without one.
_CHANCE: ContextVar[random.Random] = ContextVar("chance")


def _percentile(found: Sequence[float], percent: float) -> float:
    return sorted(found)[int(len(found) * percent / 100)]


class _Served:
    """A stream of tickets through one path: how long each took, and what was asked on top."""

    def __init__(self, draw: Draw, *, hedge: bool, per_s: float, seed: int) -> None:
        self.starts: list[float] = []
        self.extra_at: list[float] = []
        self._draw, self._hedge, self._per_s = draw, hedge, per_s
        self._seed = seed

    async def tickets(self, count: int) -> _Served:
        rng, now = random.Random(self._seed), clock()
        model = VirtualModel(lambda: self._draw(now(), _CHANCE.get()))
        hedge = Hedge() if self._hedge else None
        desk = Desk(model, random.Random(1), timeout_s=4.0, hedge=hedge)

        async def one(number: int) -> None:
            _CHANCE.set(random.Random(f"{self._seed} {number}"))
            began = now()
            found = await desk.ask()
            self.starts.append(began)
            self.took[number] = now() - began
            self.extra_at += [began] * sum(a.reason in ("hedge", "retry") for a in found.attempts)

        self.took = [0.0] * count
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(rng.expovariate(self._per_s))
                group.create_task(one(number))
        await desk.runner.aclose()
        self.calls = model.calls
        assert model.open == 0
        return self


def _served(
    draw: Draw, *, hedge: bool, per_s: float = 5.0, seed: int = 1, count: int = 3_000
) -> _Served:
    return run(_Served(draw, hedge=hedge, per_s=per_s, seed=seed).tickets(count), seed=seed)


def test_slow_answers_are_cut_off() -> None:
    """2 % of the answers take ten times as long: p99 falls by 65 % and more, for 5 % more calls at most."""

    def draw(_: float, rng: random.Random) -> Drawn:
        return Drawn(lognormal(rng, 0.3) * (10.0 if rng.random() < 0.02 else 1.0))

    plain = _served(draw, hedge=False)
    hedged = _served(draw, hedge=True)
    assert plain.calls == 3_000
    assert hedged.calls <= 1.05 * 3_000
    cut = 1 - _percentile(hedged.took, 99) / _percentile(plain.took, 99)
    assert cut >= 0.65


def test_a_natural_tail_gets_no_worse() -> None:
    """Where there is little to win, a lognormal tail with sigma 0.3, nothing is lost either."""

    def draw(_: float, rng: random.Random) -> Drawn:
        return Drawn(lognormal(rng, 0.3))

    plain = _served(draw, hedge=False)
    hedged = _served(draw, hedge=True)
    assert all(
        second <= 1.01 * first for first, second in zip(plain.took, hedged.took, strict=True)
    )
    assert _percentile(hedged.took, 99.9) < _percentile(plain.took, 99.9)
    assert hedged.calls <= 1.05 * 3_000


def test_a_brown_out_is_not_doubled() -> None:
    """A minute in which everything takes three times as long costs at most 8 % more calls."""
    begins, ends = 300.0, 360.0

    def draw(now: float, rng: random.Random) -> Drawn:
        return Drawn(lognormal(rng, 0.3) * (3.0 if begins <= now < ends else 1.0))

    hedged = _served(draw, hedge=True, count=2_000)
    minute = sum(begins <= start < ends for start in hedged.starts)
    extra = sum(begins <= start < ends for start in hedged.extra_at)
    assert minute > 200
    assert 0 < extra <= 0.08 * minute


@pytest.mark.parametrize("retry_after_s", [None, 0.2, 30.0])
def test_a_storm_of_429_costs_nothing(retry_after_s: float | None) -> None:
    """While the server says "slow down" no second call starts, and at most one ticket asks again."""
    begins, ends = 100.0, 160.0

    def draw(now: float, rng: random.Random) -> Drawn:
        if begins <= now < ends:
            return Drawn(0.02, "rate_limited", retry_after_s)
        return Drawn(lognormal(rng, 0.3))

    hedged = _served(draw, hedge=True, count=1_000)
    during = [start for start in hedged.extra_at if begins <= start < ends]
    assert len(during) <= 1
