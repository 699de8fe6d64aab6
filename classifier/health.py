"""Which paths can answer: what their breakers know, and probes when no ticket comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from msgspec import Struct

from classifier.assembly import Assembly
from classifier.cache.redis import RedisCache
from classifier.guards.judging import HOPELESS
from classifier.paths.path import Path
from classifier.records import Attempt

SILENT_S = 15.0  # a path that nobody asked for so long is looked after
AGAIN_S = 2.0  # and so soon again when it was not there
_TICK_S = 0.25
# A ticket of our own: whether a path answers tickets can only be found out by one. It costs what a
# ticket costs, and nothing as long as the path fails; it is booked under `probe`.
PROBE = "Test of the connection, please ignore."


class BreakerState(Struct):
    """One breaker as `/readyz` shows it. `reason`: why it is not closed. `for_s`: for how long."""

    state: str
    reason: str | None
    for_s: float


class Health:
    """Promise: `ready` is known without asking anybody; asking goes on in the background."""

    def __init__(
        self,
        assembly: Assembly,
        redis: RedisCache | None,
        book: Callable[[Attempt], None],
        *,
        caches: bool = True,
    ) -> None:
        self.assembly = assembly
        self.config_refused = False
        self.awaiting_restart: tuple[str, ...] = ()  # `table.key` of edits that are not live
        self._redis = redis
        self._caches = caches
        self._book = book
        self._looked_at: dict[str, float] = {}
        self._looking: set[str] = set()
        self._absent: set[str] = set()

    @property
    def ready(self) -> bool:
        paths = self.assembly.paths
        return any(_is_up(paths[name]) for name in self.assembly.router.answering)

    def paths(self) -> dict[str, str]:
        return {
            name: "up" if _is_up(path) else "down" for name, path in self.assembly.paths.items()
        }

    def breakers(self) -> dict[str, BreakerState]:
        """Every path's breaker, by path."""
        return {name: _breaker_state(path) for name, path in self.assembly.paths.items()}

    def cache(self) -> str:
        """What is in use, which the file on disk may no longer say."""
        if not self._caches:
            return "off"
        if self._redis is None:
            return "memory"
        return "memory, redis away" if self._redis.is_away else "memory, redis"

    def config(self) -> str:
        return "the file is refused; an older one is live" if self.config_refused else "live"

    def attempted(self, attempt: Attempt) -> None:
        """A path that is asked needs no looking after."""
        self._looked_at[attempt.path] = perf_counter()

    async def probe_all(self) -> None:
        """Opens connections to every path's endpoint; who does not answer is down."""
        await asyncio.gather(*(self._connect(path) for path in self.assembly.paths.values()))

    async def watch(self) -> None:
        """Looks after paths that are silent, and tries those that are open as soon as it may."""
        async with asyncio.TaskGroup() as looking:
            while True:
                await asyncio.sleep(_TICK_S)
                for path in self.assembly.paths.values():
                    if path.name not in self._looking and self._is_due(path):
                        self._looking.add(path.name)
                        looking.create_task(self._look_after(path))

    def _is_due(self, path: Path) -> bool:
        if path.guard.breaker.state != "closed":
            return path.guard.refuses() is None
        return perf_counter() >= self._looked_at.get(path.name, 0.0) + SILENT_S

    async def _look_after(self, path: Path) -> None:
        try:
            if path.guard.breaker.state == "closed":
                await self._look_for(path)
            elif path.guard.refuses() is None:  # no ticket has been let in since it was due
                await self._probe(path)
        finally:
            self._looking.discard(path.name)

    async def _probe(self, path: Path) -> None:
        """One call; when there is no money for it, whether the server is there has to do."""
        attempt = await path.ask(PROBE, path.config.timeout_s, "probe")
        if attempt.outcome != "budget":
            self._book(attempt)
            return
        breaker = path.guard.breaker
        if breaker.reason in HOPELESS:  # a server that is there is no news
            breaker.open(breaker.reason, hopeless=True)
            return
        entered = breaker.enter()
        breaker.leave(entered, "good" if await path.reachable() else "bad", "connect")

    async def _look_for(self, path: Path) -> None:
        """Costs no call to a model, and keeps the connection warm. Once away is no time."""
        present = await path.reachable()
        if present or path.name in self._absent:
            self._absent.discard(path.name)
            self._looked_at[path.name] = perf_counter()
            if not present:
                path.guard.breaker.open("connect")
        else:
            self._absent.add(path.name)
            self._looked_at[path.name] = perf_counter() - SILENT_S + AGAIN_S

    async def _connect(self, path: Path) -> None:
        if not await path.reachable():
            path.guard.breaker.open("connect")


def _is_up(path: Path) -> bool:
    """Half-open counts: a ticket may be the one that finds out."""
    return path.guard.breaker.state != "open"


def _breaker_state(path: Path) -> BreakerState:
    breaker = path.guard.breaker
    paused = breaker.state == "closed" and breaker.refuses() == "paused"
    return BreakerState(
        "paused" if paused else breaker.state,
        "rate_limited" if paused else breaker.reason or None,
        round(perf_counter() - breaker.since, 1),
    )
