"""One guard per path and endpoint, kept across reloads: a new config forgets no outage."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from time import perf_counter

from classifier.config.schema import PathConfig
from classifier.guards.guard import Guard
from classifier.ports import Endpoint, GuardObserver

_Key = tuple[str, str, str, Endpoint]


class NullGuardObserver:
    """Tells nobody: for commands that only look at a config."""

    def breaker_changed(self, path: str, state: str, reason: str) -> None:
        pass

    def retried(self, path: str, outcome: str) -> None:
        pass

    def hedged(self, path: str, outcome: str) -> None:
        pass

    def skipped(self, path: str, why: str) -> None:
        pass


class Guards:
    """Another endpoint, key or model is another thing to guard: it starts closed and unknown."""

    def __init__(
        self,
        observer: GuardObserver | None = None,
        now: Callable[[], float] = perf_counter,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._observer = observer or NullGuardObserver()
        self._now = now
        self._chance = chance
        self._held: dict[_Key, Guard] = {}

    def guard(self, name: str, path: PathConfig, endpoint: Endpoint) -> Guard:
        """The guard of a path; a config that never goes live changes nothing about it."""
        key = (name, path.kind, path.model, endpoint)
        if key not in self._held:
            self._held[key] = Guard(name, path, self._observer, self._now, self._chance)
        return self._held[key]

    def settle(self, live: Mapping[Guard, PathConfig]) -> None:
        """A config went live: its limits hold, and guards that it has no path for are forgotten."""
        self._held = {key: guard for key, guard in self._held.items() if guard in live}
        for guard, path in live.items():
            guard.configure(path)
