"""A model server in virtual time: an Endpoint that draws how long it takes and what it says.

model = VirtualModel(lambda: Drawn(0.1))
desk = Desk(model, hedge=Hedge())         # inside the loop: a path over it, guarded as in the house
run = await desk.ask()
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from classifier.attempts import Run, Runner
from classifier.config.schema import PathConfig
from classifier.errors import AttemptFailed
from classifier.guards.registry import Guards
from classifier.paths.path import Path
from classifier.ports import RawReply
from classifier.records import Attempt
from classifier.routing import Plan
from classifier.taxonomy import LabelReader
from tests.support.parts import PRICES, PROMPT, TAXONOMY, Remembering, chat
from tests.support.upstream import completion
from tests.support.virtual_time import clock

_REPLIES = {
    "label": json.dumps(completion("billing")).encode(),
    "nonsense": json.dumps(completion("who knows")).encode(),
}
_FREE = ("connect", "rate_limited", "loading", "quota", "refused", "unauthorised", "server_error")


class Drawn(NamedTuple):
    """What one call comes to: after `seconds` a label, nonsense, or a failure of this kind."""

    seconds: float
    said: str = "label"
    retry_after_s: float | None = None


class VirtualModel:
    """Counts what it was asked, what it finished, and how many calls were open at once."""

    def __init__(self, draw: Callable[[], Drawn]) -> None:
        self.draw = draw
        self.calls = 0
        self.open = 0
        self.cancelled = 0

    async def post(self, route: str, body: bytes, timeout_s: float) -> RawReply:
        self.calls += 1
        self.open += 1
        drawn = self.draw()
        try:
            await asyncio.sleep(min(drawn.seconds, timeout_s))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.open -= 1
        if drawn.seconds > timeout_s:
            raise AttemptFailed("timeout", may_be_charged=True)
        if drawn.said in _REPLIES:
            return RawReply(_REPLIES[drawn.said])
        kind: Any = drawn.said
        raise AttemptFailed(
            kind, may_be_charged=kind not in _FREE, retry_after_s=drawn.retry_after_s
        )

    async def warm(self) -> bool:
        return True

    async def aclose(self) -> None:
        pass


class Desk:
    """One path over a model, asked by a runner; everything on the running loop's clock."""

    def __init__(self, model: VirtualModel, chance: random.Random, **config: Any) -> None:
        self.seen = Remembering()
        self.extra = 0  # hedges and retries so far
        self.model = model
        now = clock()
        settled = PathConfig(
            kind="chat", endpoint="test", model="priced", prompt="test.txt", **config
        )
        guards = Guards(self.seen, now, chance.random)
        self.path = Path(
            name="short",
            config=settled,
            codec=chat(),
            endpoint=model,
            prompt=PROMPT,
            prices=PRICES,
            reader=LabelReader(TAXONOMY),
            static_tokens=60,
            guard=guards.guard("short", settled, model),
            now=now,
        )
        self.runner = Runner(self._book, now, chance.random)
        self._now = now

    async def ask(self, deadline_s: float = 8.0) -> Run:
        deadline = self._now() + deadline_s
        return await self.runner.run(Plan("test", "short"), {"short": self.path}, "x", deadline)

    def _book(self, attempt: Attempt) -> None:
        self.seen.attempted(attempt)
        self.extra += attempt.reason in ("hedge", "retry")

    def hedges(self) -> list[Attempt]:
        return [a for a in self.seen.attempts if a.reason == "hedge"]


def lognormal(rng: random.Random, sigma: float, median_s: float = 0.1) -> float:
    """The body of a model's latencies; sigma 0.3 is a quick vendor's."""
    return median_s * math.exp(rng.gauss(0.0, sigma))
