"""A call and its purse: what waiting for money costs the call."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from classifier.records import Cost
from tests.support.parts import endpoint, path
from tests.support.upstream import Upstream


class _Slow:
    """A purse that takes longer to say yes than the call has; writes down what it is told."""

    def __init__(self) -> None:
        self.settled: list[Cost] = []

    async def reserve(self, path: str, amount: int | None) -> _Slow:
        assert path
        assert amount is None or amount > 0
        await asyncio.sleep(0.05)
        return self

    def settle(self, cost: Cost) -> None:
        self.settled.append(cost)


async def test_no_call_without_time(short_model: Upstream) -> None:
    """When the purse took all the time there was, nobody is called and nothing is paid."""
    purse = _Slow()
    async with endpoint(short_model.url) as server:
        asked = replace(path("short", server), purse=purse)
        attempt = await asked.ask("x", 0.01, "answer")
    assert (attempt.outcome, attempt.cost, purse.settled) == ("timeout", Cost(0), [Cost(0)])
    assert not short_model.calls
