"""The Redis tier: optional at any moment, and never dearer than one bounded wait."""

from __future__ import annotations

import asyncio
from time import perf_counter

import msgspec
from msgspec import Struct
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from classifier.cache.connection import Client
from classifier.config.schema import Cache as CacheConfig
from classifier.ports import CacheObserver
from classifier.records import Answer

_WRITES_WAITING = 1_000  # beyond this, writes are dropped: the cache is behind and only a cache
_WRITERS = 4
_MAX_TTL_S = 10 * 365 * 86_400.0  # Redis refuses more than it can add to the time of day


class _Entry(Struct):
    """A cached answer with its own key, so that a mixed-up connection can never lend a label."""

    key: str
    answer: Answer


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Entry).decode


class RedisCache:
    """Promise: a miss when Redis is refused, hung, slow, full, read-only or gone.

    A look-up costs at most `redis_timeout_s`, and nothing while the breaker is open: then a
    background probe asks for it. Writes happen in the background.
    """

    def __init__(self, client: Client, config: CacheConfig, observer: CacheObserver) -> None:
        self._client = client
        self._timeout_s = config.redis_timeout_s
        self._probe_s = config.breaker_probe_s
        self._failures_allowed = config.breaker_failures
        self._failures_in_a_row = 0
        self._observer = observer
        self._writes: asyncio.Queue[tuple[str, Answer]] = asyncio.Queue(_WRITES_WAITING)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False

    @property
    def is_away(self) -> bool:
        return self._failures_in_a_row >= self._failures_allowed

    async def start(self) -> None:
        """Opens the connections and starts the background writers and the probe."""
        try:
            await self._client.open()
        except (TimeoutError, RedisError, OSError):
            self._failed()
        self._tasks = [asyncio.create_task(self._write_queued()) for _ in range(_WRITERS)]
        self._tasks.append(asyncio.create_task(self._probe_while_away()))

    async def get(self, key: str) -> Answer | None:
        if self.is_away:
            self._observer.cache_operation("redis", "get", "skipped", 0.0)
            return None
        started = perf_counter()
        outcome, answer = "error", None
        try:
            async with asyncio.timeout(self._timeout_s):
                value = await self._client.get(key)
            answer = _read(key, value)
            outcome = "hit" if answer else "miss"
            self._replied()
        except (TimeoutError, RedisTimeout):
            outcome = "timeout"
            self._failed()
        except (RedisError, OSError):
            self._failed()
        self._observer.cache_operation("redis", "get", outcome, perf_counter() - started)
        return answer

    def put(self, key: str, answer: Answer) -> None:
        try:
            self._writes.put_nowait((key, answer))
        except asyncio.QueueFull:
            self._observer.cache_operation("redis", "put", "dropped", 0.0)

    async def aclose(self) -> None:
        """Gives waiting writes one moment, then lets go."""
        try:
            async with asyncio.timeout(4 * self._timeout_s):
                await self._writes.join()
        except TimeoutError:
            pass
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _write_queued(self) -> None:
        while not self._is_closing:
            key, answer = await self._writes.get()
            try:
                await self._write(key, answer)
            finally:
                self._writes.task_done()

    async def _write(self, key: str, answer: Answer) -> None:
        if self.is_away:
            self._observer.cache_operation("redis", "put", "skipped", 0.0)
            return
        started = perf_counter()
        outcome = "stored"
        try:
            async with asyncio.timeout(self._timeout_s):
                ttl_ms = max(1, int(min(answer.ttl_s, _MAX_TTL_S) * 1_000))
                await self._client.set(key, _encode(_Entry(key, answer)), ttl_ms)
        except (TimeoutError, RedisTimeout):
            outcome = "timeout"
            self._failed()
        except (RedisError, OSError):
            # A full or read-only server still answers reads: only the write is lost.
            outcome = "error"
        self._observer.cache_operation("redis", "put", outcome, perf_counter() - started)

    async def _probe_while_away(self) -> None:
        while True:
            await asyncio.sleep(self._probe_s)
            if self.is_away:
                await self._ping()

    async def _ping(self) -> None:
        """Asks as a look-up does, so that a server that is still loading does not count as back."""
        try:
            await self._client.locate()
            async with asyncio.timeout(self._timeout_s):
                await self._client.get("classifier:probe")
        except (TimeoutError, RedisError, OSError):
            self._failed()
        else:
            self._replied()

    def _replied(self) -> None:
        if self.is_away:
            self._observer.cache_away(away=False)
        self._failures_in_a_row = 0

    def _failed(self) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row == self._failures_allowed:
            self._observer.cache_away(away=True)


def _read(key: str, value: bytes | str | None) -> Answer | None:
    if value is None:
        return None
    try:
        entry = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return entry.answer if entry.key == key else None
