"""Both tiers: the in-process one in front of Redis, filled on the way back."""

from __future__ import annotations

from time import perf_counter

from classifier.cache.memory import MemoryCache
from classifier.ports import AnswerCache, CacheObserver
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

    async def get(self, key: str) -> Answer | None:
        started = perf_counter()
        answer = self._memory.look_up(key)
        outcome = "hit" if answer else "miss"
        self._observer.cache_operation("memory", "get", outcome, perf_counter() - started)
        if answer is not None or self._behind is None:
            return answer
        answer = await self._behind.get(key)
        if answer is not None:
            self._remember(key, answer)
        return answer

    def put(self, key: str, answer: Answer) -> None:
        self._remember(key, answer)
        if self._behind is not None:
            self._behind.put(key, answer)

    def _remember(self, key: str, answer: Answer) -> None:
        """Above Redis an answer lives shorter in memory, so that replicas drift apart only briefly."""
        limit_s = answer.ttl_s if self._behind is None else min(answer.ttl_s, self._memory_ttl_s)
        self._memory.hold(key, answer, limit_s)

    async def aclose(self) -> None:
        await self._memory.aclose()
        if self._behind is not None:
            await self._behind.aclose()
