"""Which paths can answer: judged by their attempts, and by probes when no ticket comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from classifier.assembly import Assembly
from classifier.cache.redis import RedisCache
from classifier.paths.path import Path
from classifier.records import REPLIED, Attempt

FAILURES_UNTIL_DOWN = 3
PROBE_WHILE_DOWN_S = 2.0
PROBE_WHILE_UP_S = 15.0
# A refused ticket or a "slow down" is no reason to take the replica out of rotation.
_SAYS_NOTHING = ("refused", "rate_limited", "loading")
_TICK_S = 0.5


class Health:
    """Promise: `ready` is known without asking anybody; asking goes on in the background."""

    def __init__(
        self,
        assembly: Assembly,
        redis: RedisCache | None,
        on_path_state: Callable[[str, int], None],
        *,
        caches: bool = True,
    ) -> None:
        self.assembly = assembly
        self.config_refused = False
        self.awaiting_restart: tuple[str, ...] = ()  # `table.key` of edits that are not live
        self._redis = redis
        self._caches = caches
        self._on_path_state = on_path_state
        self._failures: dict[str, int] = {}
        self._heard_at: dict[str, float] = {}

    @property
    def ready(self) -> bool:
        return any(self._is_up(name) for name in self.assembly.router.answering)

    def paths(self) -> dict[str, str]:
        return {name: "up" if self._is_up(name) else "down" for name in self.assembly.paths}

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
        """A reply of any kind is a sign of life; failures in a row are not."""
        name = attempt.path
        if name not in self.assembly.paths or attempt.outcome in _SAYS_NOTHING:
            return  # a ticket ended on an older config, or the server is there and only said no
        if _was_cut_short(attempt, self.assembly.paths[name]):
            return
        alive = attempt.outcome in REPLIED
        self._set(name, 0 if alive else self._failures.get(name, 0) + 1)

    async def probe_all(self) -> None:
        """Opens connections to every path's endpoint; who does not answer is down."""
        await asyncio.gather(*(self._probe(path) for path in self.assembly.paths.values()))

    async def watch(self) -> None:
        """Probes paths that have been silent: soon while they are down, seldom while they are up."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = monotonic()
            paths = self.assembly.paths.values()
            due = [path for path in paths if now >= self._probe_due(path.name)]
            await asyncio.gather(*(self._probe(path) for path in due))

    def _probe_due(self, name: str) -> float:
        pause_s = PROBE_WHILE_UP_S if self._is_up(name) else PROBE_WHILE_DOWN_S
        return self._heard_at.get(name, 0.0) + pause_s

    async def _probe(self, path: Path) -> None:
        name, reachable = path.name, await path.reachable()
        if self.assembly.paths.get(name) is not path:
            return  # a reload replaced it meanwhile
        if not reachable:
            self._set(name, FAILURES_UNTIL_DOWN)
        elif self._is_up(name):
            self._set(name, self._failures.get(name, 0))
        else:
            # A server that is there may still refuse tickets: one more failure marks it down again.
            self._set(name, FAILURES_UNTIL_DOWN - 1)

    def _set(self, name: str, failures: int) -> None:
        self._failures[name] = failures
        self._heard_at[name] = monotonic()
        self._on_path_state(name, int(self._is_up(name)))

    def _is_up(self, name: str) -> bool:
        return self._failures.get(name, 0) < FAILURES_UNTIL_DOWN


def _was_cut_short(attempt: Attempt, path: Path) -> bool:
    """Ended by its ticket's own deadline: a caller in a hurry cannot mark a path down."""
    return attempt.outcome == "timeout" and attempt.duration_s < 0.9 * path.config.timeout_s
