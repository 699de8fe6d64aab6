"""Both tiers: the in-process one in front of Redis, filled on the way back."""

from __future__ import annotations

from time import perf_counter

from classifier.cache.memory import MemoryCache
from classifier.ports import NOTHING, AnswerCache, CacheObserver, Found
from classifier.records import Answer


class TieredCache:
    """Promise: as AnswerCache; a hit in memory never touches the tier behind."""

    def __init__(
        self,
        memory: MemoryCache,
        behind: AnswerCache | None,
        memory_ttl_s: float,
        observer: CacheObserver,
    ) -> None:
        self._memory = memory
        self._behind = behind
        self._memory_ttl_s = memory_ttl_s
        self._observer = observer

    def look_up(self, key: str) -> Answer | None:
        started = perf_counter()
        answer = self._memory.look_up(key)
        outcome = "hit" if answer else "miss"
        self._observer.cache_operation("memory", "get", outcome, perf_counter() - started)
        return answer

    async def claim(self, key: str, patience_s: float) -> Found:
        """For a key that memory does not have."""
        if self._behind is None:
            return NOTHING
        found = await self._behind.claim(key, patience_s)
        if found.answer is not None:
            self._remember(key, found.answer, found.left_s)
        return found

    async def get(self, key: str) -> Answer | None:
        answer = self.look_up(key)
        return (await self.claim(key, 0.0)).answer if answer is None else answer

    def put(self, key: str, answer: Answer) -> None:
        self._remember(key, answer, answer.ttl_s)
        if self._behind is not None:
            self._behind.put(key, answer)

    def release(self, key: str) -> None:
        if self._behind is not None:
            self._behind.release(key)

    def _remember(self, key: str, answer: Answer, left_s: float) -> None:
        """Above Redis an answer lives shorter in memory, so that replicas drift apart only briefly."""
        limit_s = left_s if self._behind is None else min(left_s, self._memory_ttl_s)
        self._memory.hold(key, answer, limit_s)

    async def aclose(self) -> None:
        await self._memory.aclose()
        if self._behind is not None:
            await self._behind.aclose()
