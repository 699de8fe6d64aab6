"""One contract for every AnswerCache, a dead and a hung Redis included."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from classifier.cache.connection import connect
from classifier.cache.memory import MemoryCache
from classifier.cache.redis import RedisCache
from classifier.cache.tiered import TieredCache
from classifier.errors import ConfigError
from classifier.ports import AnswerCache
from tests.support.house import service
from tests.support.parts import ANSWER, Remembering, cache_config
from tests.support.proxy import proxied
from tests.support.redis_server import RedisServer, free_port
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

KINDS = ("memory", "redis", "tiered", "dead", "hung")
REMEMBERING = ("memory", "redis", "tiered")


@asynccontextmanager
async def _redis(
    url: str, observer: Remembering | None = None, **config: Any
) -> AsyncIterator[RedisCache]:
    limits = cache_config(**config)
    cache = RedisCache(connect(url, limits), limits, observer or Remembering())
    await cache.start()
    try:
        yield cache
    finally:
        await cache.aclose()


@asynccontextmanager
async def _opened(kind: str, server: RedisServer) -> AsyncIterator[AnswerCache]:
    """A cache of one kind; `dead` has nobody behind its port, `hung` a server that never answers."""
    if kind == "memory":
        yield MemoryCache(100)
        return
    if kind == "hung":
        server.pause()
    url = f"redis://127.0.0.1:{free_port()}/0" if kind == "dead" else server.url
    async with _redis(url) as behind:
        memory = MemoryCache(100)
        yield TieredCache(memory, behind, 600.0, Remembering()) if kind == "tiered" else behind


@pytest.fixture
async def cache(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[Any]:
    """The cache that the test's parameter names."""
    async with _opened(request.param, redis_server) as opened:
        yield opened


every_cache = pytest.mark.parametrize("cache", KINDS, indirect=True)
every_remembering_cache = pytest.mark.parametrize("cache", REMEMBERING, indirect=True)


async def _until_held(cache: AnswerCache, key: str) -> None:
    async def held() -> bool:
        return await cache.get(key) is not None

    await eventually(held, within_s=15.0)


# ---------------------------------------------------------------------------- for every cache


@every_cache
async def test_unknown_key_is_a_miss(cache: AnswerCache) -> None:
    """What was never stored is not there."""
    assert await cache.get("classifier:1:unknown") is None


@every_cache
async def test_answer_comes_back_whole_or_not_at_all(cache: AnswerCache) -> None:
    """A cache may forget, but it never changes a field."""
    cache.put("key", ANSWER)
    bare = structs.replace(ANSWER, confidence=None, escalated_from=None, ticket_tokens=None)
    cache.put("bare", bare)
    await asyncio.sleep(0)
    for _ in range(20):
        assert await cache.get("key") in (ANSWER, None)
        assert await cache.get("bare") in (bare, None)


@every_remembering_cache
async def test_answer_is_remembered(cache: AnswerCache) -> None:
    """A living cache has every field of what was put, soon after."""
    cache.put("key", ANSWER)
    await _until_held(cache, "key")
    assert await cache.get("key") == ANSWER


@every_remembering_cache
async def test_newer_answer_replaces_older(cache: AnswerCache) -> None:
    """The last answer that was put is the one that comes back."""
    cache.put("key", ANSWER)
    newer = structs.replace(ANSWER, label="login")
    await _until_held(cache, "key")
    cache.put("key", newer)

    async def replaced() -> bool:
        return await cache.get("key") == newer

    await eventually(replaced, within_s=15.0)


@every_remembering_cache
async def test_answer_expires(cache: AnswerCache) -> None:
    """An answer lives as long as it says itself."""
    cache.put("key", structs.replace(ANSWER, ttl_s=0.2))
    await _until_held(cache, "key")

    async def forgotten() -> bool:
        return await cache.get("key") is None

    await eventually(forgotten, within_s=15.0)


@every_cache
async def test_put_does_not_wait(cache: AnswerCache) -> None:
    """Storing costs the caller no time, however slow or dead the server: 2,000 within a second."""
    started = time.perf_counter()
    for number in range(2_000):
        cache.put(f"key{number}", ANSWER)
    assert time.perf_counter() - started < 1.0


@every_cache
async def test_look_ups_cost_bounded_time(cache: AnswerCache) -> None:
    """Fifty look-ups take less than 2 s; one through redis-py's defaults takes 4 s or 58 s."""
    started = time.perf_counter()
    for number in range(50):
        await cache.get(f"key{number}")
    assert time.perf_counter() - started < 2.0


@every_cache
async def test_burst_raises_nothing(cache: AnswerCache) -> None:
    """Three hundred look-ups at once are answers or misses, not errors, and end together."""
    started = time.perf_counter()
    found = await asyncio.gather(*(cache.get(f"key{number}") for number in range(300)))
    assert set(found) == {None}
    assert time.perf_counter() - started < 3.0


@pytest.mark.parametrize("kind", KINDS)
async def test_closing_is_bounded(kind: str, redis_server: RedisServer) -> None:
    """A cache lets go within moments, also with a thousand writes that nobody will take."""
    async with _opened(kind, redis_server) as cache:
        for number in range(1_000):
            cache.put(f"key{number}", ANSWER)
        started = time.perf_counter()
    assert time.perf_counter() - started < 3.0


async def test_closing_ends_every_writer(redis_server: RedisServer) -> None:
    """Whatever a write is doing at that moment, closing ends it: a lost cancellation would hang."""
    limits = cache_config(redis_timeout_s=0.01, redis_connections=4, breaker_failures=1_000_000)
    for _ in range(25):
        cache = RedisCache(connect(redis_server.url, limits), limits, Remembering())
        await cache.start()
        for number in range(1_000):
            cache.put(f"key{number}", ANSWER)
        async with asyncio.timeout(5.0):
            await cache.aclose()


# ---------------------------------------------------------------------------- what Redis holds


async def test_redis_holds_no_text_and_no_secret(
    config_file: Path, redis_server: RedisServer
) -> None:
    """Who reads the whole Redis learns labels, but no ticket, and cannot test guesses of one."""
    secret = "a secret of sixteen characters"
    environ = {"CLASSIFIER_REDIS_URL": redis_server.url, "CLASSIFIER_CACHE_SECRET": secret}
    text = "charged twice by canary@example.com"
    async with service(config_file, environ) as house:
        await house.classify(text)
    keys = redis_server.command("KEYS", "*").split(b"\r\n")[2::2]
    values = [redis_server.command("GET", key.decode()) for key in keys]
    assert any(b'"label":"billing"' in value for value in values)
    for held in (*keys, *values):
        for private in (b"charged", b"twice", b"canary", secret.encode()):
            assert private not in held
    assert all(int(redis_server.command("PTTL", key.decode())[1:]) > 0 for key in keys if key)


async def test_other_secret_other_keys(
    config_file: Path, redis_server: RedisServer, short_model: Upstream
) -> None:
    """Two services share answers exactly when they share the secret."""
    environ = {"CLASSIFIER_REDIS_URL": redis_server.url}
    for secret, calls in [("first secret of many", 1), ("other secret of many", 2)]:
        environ["CLASSIFIER_CACHE_SECRET"] = secret
        for _ in range(2):  # a second service has nothing in its own memory
            async with service(config_file, environ) as house:
                answer = (await house.classify("charged twice")).json()
        assert len(short_model.calls) == calls
        assert (answer["source"], answer["cost_usd"]) == ("cache", "0")


def _entry(key: str, **changes: Any) -> str:
    fields = msgspec.to_builtins(ANSWER) | changes
    return msgspec.json.encode({"key": key, "answer": fields}).decode()


@pytest.mark.parametrize(
    "value",
    [
        _entry("another key"),
        _entry("key", label=None),
        _entry("key", confidence="high"),
        '{"key":"key"}',
        '{"key":"key","answer":{"label":"billing"}}',
        "billing",
        "",
        "null",
        "[" * 100_000,
        '{"x":' * 100_000,
    ],
)
async def test_wrong_value_is_a_miss(redis_server: RedisServer, value: str) -> None:
    """A value of another key, an older shape or no shape at all is never given out as an answer."""
    seen = Remembering()
    async with _redis(redis_server.url, seen) as cache:
        redis_server.command("SET", "key", value)
        assert await cache.get("key") is None
        assert not cache.is_away
        redis_server.command("SET", "key", _entry("key"))
        assert await cache.get("key") == ANSWER
    assert [outcome for _, operation, outcome in seen.operations if operation == "get"] == [
        "miss",
        "hit",
    ]


async def test_wrong_type_is_a_miss(redis_server: RedisServer) -> None:
    """A key that somebody else uses for a list is a miss."""
    redis_server.command("LPUSH", "key", "billing")
    async with _redis(redis_server.url) as cache:
        assert await cache.get("key") is None


async def test_endless_ttl_is_stored(redis_server: RedisServer) -> None:
    """A life beyond what Redis can count is a long life, not an error."""
    async with _redis(redis_server.url) as cache:
        cache.put("key", structs.replace(ANSWER, ttl_s=1e18))
        await _until_held(cache, "key")


# ---------------------------------------------------------------------------- Redis's breaker


async def test_breaker_stops_paying(redis_server: RedisServer) -> None:
    """After so many timeouts in a row a look-up costs nothing, until Redis is back by itself."""
    seen = Remembering()
    async with _redis(redis_server.url, seen, breaker_failures=5) as cache:
        cache.put("key", ANSWER)
        await _until_held(cache, "key")
        redis_server.pause()
        outcomes = await _outcomes(cache, seen, look_ups=50)
        assert outcomes == ["timeout"] * 5 + ["skipped"] * 45
        assert seen.away == [True]
        redis_server.resume()
        await _until_held(cache, "key")
        assert seen.away == [True, False]


async def _outcomes(cache: AnswerCache, seen: Remembering, look_ups: int) -> list[str]:
    seen.operations.clear()
    for _ in range(look_ups):
        await cache.get("key")
    return [outcome for _, operation, outcome in seen.operations if operation == "get"]


async def test_dead_from_the_start_counts_as_failures(redis_server: RedisServer) -> None:
    """A Redis that was never there costs the start one failure and the tickets the others."""
    seen = Remembering()
    async with _redis(f"redis://127.0.0.1:{free_port()}/0", seen, breaker_failures=5) as cache:
        outcomes = await _outcomes(cache, seen, look_ups=10)
    assert outcomes == ["error"] * 4 + ["skipped"] * 6


async def test_late_reply_closes_the_breaker(redis_server: RedisServer) -> None:
    """Whenever Redis answers after all, it is back: in the breaker and in the metric."""
    seen = Remembering()
    limits: dict[str, Any] = {"redis_timeout_s": 5.0, "breaker_probe_s": 60.0}
    async with (
        proxied(redis_server.port) as proxy,
        _redis(f"redis://127.0.0.1:{proxy.port}/0", seen, breaker_failures=2, **limits) as cache,
    ):
        proxy.delay_s = 0.5
        await proxy.set("delay")
        slow = asyncio.create_task(cache.get("key"))
        await eventually(lambda: b"cmdstat_get" in redis_server.command("INFO", "commandstats"))
        await asyncio.sleep(0.1)  # its answer is on its way
        await proxy.set("reset")
        await asyncio.gather(cache.get("a"), cache.get("b"))
        assert seen.away == [True]
        await slow
        assert (seen.away, cache.is_away) == ([True, False], False)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://:hunter2@localhost",
        "redis://:hunter2@localhost:port/0",
        "redis://:hunter2@[::1/0",
        "redis://:hunter2@localhost/0?socket_timeout=soon",
        "redis://:hunter2@localhost/0?no_such_option=1",
        "rediss://:hunter2@localhost/0?ssl_cert_reqs=perhaps",
    ],
)
def test_unusable_url_stops_the_start(url: str) -> None:
    """A URL that is none is refused before the first ticket, without showing its password."""
    with pytest.raises(ConfigError, match="CLASSIFIER_REDIS_URL") as refused:
        connect(url, cache_config())
    assert "hunter2" not in refused.value.detail


# ---------------------------------------------------------------------------- memory, tiers


async def test_memory_is_bounded() -> None:
    """The oldest use leaves first, and nothing else does."""
    cache = MemoryCache(2)
    cache.put("a", ANSWER)
    cache.put("b", ANSWER)
    assert await cache.get("a") == ANSWER
    cache.put("c", ANSWER)
    assert [await cache.get(key) for key in "abc"] == [ANSWER, None, ANSWER]
    assert len(cache) == 2


async def test_memory_forgets_on_time() -> None:
    """An answer is there until the moment it expires, and not after."""
    now = [1_000.0]
    cache = MemoryCache(10, clock=lambda: now[0])
    cache.put("key", ANSWER)
    now[0] += ANSWER.ttl_s - 0.001
    assert await cache.get("key") == ANSWER
    now[0] += 0.001
    assert await cache.get("key") is None
    assert len(cache) == 0


async def test_memory_in_front_spares_redis(redis_server: RedisServer) -> None:
    """What Redis had once is in memory afterwards, for its shorter life there."""
    seen = Remembering()
    now = [0.0]
    async with _redis(redis_server.url, seen) as behind:
        behind.put("key", ANSWER)
        await _until_held(behind, "key")
        cache = TieredCache(MemoryCache(10, clock=lambda: now[0]), behind, 5.0, seen)
        seen.operations.clear()
        for at in (0.0, 4.9, 5.1):
            now[0] = at
            assert await cache.get("key") == ANSWER
    assert seen.operations == [
        ("memory", "get", "miss"),
        ("redis", "get", "hit"),
        ("memory", "get", "hit"),
        ("memory", "get", "miss"),
        ("redis", "get", "hit"),
    ]
