"""The Redis tier: optional at any moment, and never dearer than one bounded wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from secrets import token_hex
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Struct
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from classifier.cache import scripts
from classifier.cache.connection import Client
from classifier.cache.limit import Limit
from classifier.config.schema import Cache as CacheConfig
from classifier.ports import NOTHING, CacheObserver, Found
from classifier.records import Answer

_WRITES_WAITING = 1_000  # beyond this, writes are dropped: the cache is behind and only a cache
_WRITERS = 4
_MAX_TTL_S = 10 * 365 * 86_400.0  # Redis refuses more than it can add to the time of day
_POLL_S = 0.02  # between questions whether another process's answer has come


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
        self._token = token_hex(8)
        self._turns: set[str] = set()
        self._writes: asyncio.Queue[tuple[str, Answer | None]] = asyncio.Queue(_WRITES_WAITING)
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

    def look_up(self, key: str) -> Answer | None:  # noqa: ARG002 -- Redis is never at hand
        return None

    async def get(self, key: str) -> Answer | None:
        return (await self.claim(key, 0.0)).answer

    async def claim(self, key: str, patience_s: float) -> Found:
        """One look-up, which also takes the turn where it is free; then, if need be, a wait."""
        found = await self._look_up(key, patience_s, counted=True)
        if found is not None:
            return found
        ends_at = perf_counter() + patience_s
        while perf_counter() + _POLL_S < ends_at:
            await asyncio.sleep(_POLL_S)
            found = await self._look_up(key, patience_s, counted=False)
            if found is not None:
                return self._waited_for(found)
        self._observer.cache_turn("gave_up")
        return NOTHING

    def _waited_for(self, found: Found) -> Found:
        if found.answer is None:  # whoever had the turn gave it back, or Redis is gone
            return found
        self._observer.cache_turn("lent")
        return Found(found.answer, found.left_s, lent=True)

    def put(self, key: str, answer: Answer) -> None:
        self._turns.discard(key)
        self._queue(key, answer)

    def release(self, key: str) -> None:
        if key in self._turns:
            self._turns.discard(key)
            self._queue(key, None)

    async def run(
        self, operation: str, script: str, keys: Sequence[str], arguments: Sequence[bytes | str]
    ) -> Any:
        """As Store: for others that share this Redis, its time limit and its breaker."""
        if self.is_away:
            self._observer.cache_operation("redis", operation, "skipped", 0.0)
            return None
        started, outcome, reply = perf_counter(), "answered", None
        try:
            async with Limit(self._timeout_s):
                reply = await self._client.run(script, keys, arguments)
        except (TimeoutError, RedisTimeout):
            outcome = "timeout"
            self._failed()
        except (RedisError, OSError):
            outcome = "error"  # it may still answer reads: the cache's look-ups judge that
        self._observer.cache_operation("redis", operation, outcome, perf_counter() - started)
        return reply

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

    async def _look_up(self, key: str, turn_s: float, *, counted: bool) -> Found | None:
        """What is there; None while it is another's turn. `counted`: in the metrics, if all is well."""
        if self.is_away:
            self._observer.cache_operation("redis", "get", "skipped", 0.0)
            return NOTHING
        started = perf_counter()
        outcome, found = await self._asked(key, turn_s)
        if counted or outcome not in ("hit", "miss"):
            self._observer.cache_operation("redis", "get", outcome, perf_counter() - started)
        return found

    async def _asked(self, key: str, turn_s: float) -> tuple[str, Found | None]:
        try:
            async with Limit(self._timeout_s):
                turn_ms = str(int(turn_s * 1_000))
                keys = (key, scripts.turn_key(key))
                reply = await self._client.run(scripts.LOOK_UP, keys, (self._token, turn_ms))
        except (TimeoutError, RedisTimeout):
            self._failed()
            return "timeout", NOTHING
        except (RedisError, OSError):
            self._failed()
            return "error", NOTHING
        self._replied()
        if isinstance(reply, list):
            found = _read(key, *reply)
            return ("hit" if found.answer else "miss"), found
        return "miss", self._turn(key, reply)

    def _turn(self, key: str, reply: int) -> Found | None:
        if reply == scripts.ANOTHERS:
            return None
        if reply == scripts.OURS:
            self._turns.add(key)
            self._observer.cache_turn("asking")
        return NOTHING

    def _queue(self, key: str, answer: Answer | None) -> None:
        try:
            self._writes.put_nowait((key, answer))
        except asyncio.QueueFull:
            self._observer.cache_operation("redis", "put", "dropped", 0.0)

    async def _write_queued(self) -> None:
        while not self._is_closing:
            key, answer = await self._writes.get()
            try:
                await self._write(key, answer)
            finally:
                self._writes.task_done()

    async def _write(self, key: str, answer: Answer | None) -> None:
        operation = "release" if answer is None else "put"
        if self.is_away:
            self._observer.cache_operation("redis", operation, "skipped", 0.0)
            return
        started = perf_counter()
        outcome = "stored" if answer is not None else "released"
        try:
            async with Limit(self._timeout_s):
                keys = (key, scripts.turn_key(key))
                await self._client.run(scripts.STORE, keys, (self._token, *_stored(key, answer)))
        except (TimeoutError, RedisTimeout):
            outcome = "timeout"
            self._failed()
        except (RedisError, OSError):
            # A full or read-only server still answers reads: only the write is lost.
            outcome = "error"
        self._observer.cache_operation("redis", operation, outcome, perf_counter() - started)

    async def _probe_while_away(self) -> None:
        while True:
            await asyncio.sleep(self._probe_s)
            if self.is_away:
                await self._ping()

    async def _ping(self) -> None:
        """Asks as a look-up does, so that a server that is still loading does not count as back."""
        try:
            await self._client.locate()
            async with Limit(self._timeout_s):
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


def _stored(key: str, answer: Answer | None) -> tuple[bytes, str] | tuple[()]:
    if answer is None:
        return ()
    ttl_ms = max(1, int(min(answer.ttl_s, _MAX_TTL_S) * 1_000))
    return _encode(_Entry(key, answer)), str(ttl_ms)


def _read(key: str, value: bytes | str, left_ms: int) -> Found:
    """`left_ms` is -1 for a value that never expires: somebody else's hand, so its own life counts."""
    try:
        entry = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NOTHING
    if entry.key != key:
        return NOTHING
    left_s = left_ms / 1_000 if left_ms >= 0 else entry.answer.ttl_s
    return Found(entry.answer, min(left_s, entry.answer.ttl_s))
