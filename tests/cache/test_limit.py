"""The time limit on Redis: bounded for a hung one, and no blame for what the process itself delays."""

from __future__ import annotations

import asyncio
import time

import pytest

from classifier.cache.connection import connect
from classifier.cache.limit import Limit
from classifier.cache.redis import RedisCache
from tests.support.cancelling import CONNECTIONS, storm
from tests.support.parts import ANSWER, Remembering, cache_config
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


async def test_limit_ends_what_never_ends() -> None:
    """Whoever waits for ever is told TimeoutError, like asyncio.timeout's."""
    with pytest.raises(TimeoutError):
        async with Limit(0.02):
            await asyncio.Event().wait()


async def test_limit_passes_on_what_happens_within() -> None:
    """Results, errors and a cancellation from outside stay what they are."""
    async with Limit(5.0):
        await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        async with Limit(5.0):
            raise ZeroDivisionError
    waiting = asyncio.create_task(_wait_within(5.0))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _wait_within(limit_s: float) -> None:
    async with Limit(limit_s):
        await asyncio.Event().wait()


async def test_busy_process_does_not_blame_redis(redis_server: RedisServer) -> None:
    """The loop is held up for twice the limit while the reply is on its way: it is a hit."""
    seen = Remembering()
    limits = cache_config(redis_timeout_s=0.2)
    cache = RedisCache(connect(redis_server.url, limits), limits, seen)
    await cache.start()
    cache.put("key", ANSWER)
    await eventually(lambda: redis_server.command("EXISTS", "key") == b":1\r\n")
    try:
        looking = asyncio.create_task(cache.get("key"))
        for _ in range(3):  # until the question is on its way
            await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 -- a burst of tickets would do the same
        assert await looking == ANSWER
    finally:
        await cache.aclose()
    assert ("redis", "get", "timeout") not in seen.operations


async def test_storm_of_cancellations(redis_server: RedisServer) -> None:
    """2,000 look-ups given up at any moment: no wrong value, nothing lost, no connection or task left."""
    found = await storm(redis_server, cancels=2_000, seed=7)
    assert found.cancelled >= 2_000
    assert found.answered > 0
    assert (found.wrong, found.lost, found.tasks_left) == (0, 0, 0)
    assert found.connections <= CONNECTIONS
