"""The in-process tier: a bounded dict with expiry, oldest use out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from classifier.ports import NOTHING, Found
from classifier.records import Answer


class MemoryCache:
    """Promise: at most `entries` answers, none older than its time to live."""

    def __init__(self, entries: int, clock: Callable[[], float] = monotonic) -> None:
        self._entries = entries
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, Answer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def look_up(self, key: str) -> Answer | None:
        found = self._held.get(key)
        if found is None:
            return None
        expires_at, answer = found
        if self._clock() >= expires_at:
            del self._held[key]
            return None
        self._held.move_to_end(key)
        return answer

    async def claim(self, key: str, patience_s: float) -> Found:  # noqa: ARG002 -- nobody to wait for
        answer = self.look_up(key)
        return NOTHING if answer is None else Found(answer, answer.ttl_s)

    def release(self, key: str) -> None:
        """One process needs no turns: its own coalescing sees to that."""

    async def get(self, key: str) -> Answer | None:
        return self.look_up(key)

    def put(self, key: str, answer: Answer) -> None:
        self.hold(key, answer, answer.ttl_s)

    def hold(self, key: str, answer: Answer, ttl_s: float) -> None:
        """`put` with a shorter life than the answer's own."""
        if self._entries == 0 or ttl_s <= 0:
            return
        self._held[key] = (self._clock() + ttl_s, answer)
        self._held.move_to_end(key)
        while len(self._held) > self._entries:
            self._held.popitem(last=False)

    async def aclose(self) -> None:
        self._held.clear()
