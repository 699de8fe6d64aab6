"""Identical tickets on several processes at one moment: one asks a model, nobody waits in vain."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from classifier.cache.connection import connect
from classifier.cache.memory import MemoryCache
from classifier.cache.redis import RedisCache
from classifier.cache.tiered import TieredCache
from classifier.ports import NOTHING
from tests.support.house import edited, service, write_config
from tests.support.parts import ANSWER, Remembering, cache_config
from tests.support.redis_server import RedisServer
from tests.support.replicas import Replica, replicas
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

SECRET = {"CLASSIFIER_CACHE_SECRET": "a secret of sixteen characters"}
PROCESSES = 4
PATIENT_S = 20.0
# Here nobody shall be in a hurry: the machine may be slow.
PATIENT = "[cache]\nredis_timeout_s = 1\n"


@asynccontextmanager
async def _cache(
    server: RedisServer, seen: Remembering | None = None, **config: Any
) -> AsyncIterator[RedisCache]:
    """As one process has it."""
    limits = cache_config(**({"redis_timeout_s": 1.0} | config))
    cache = RedisCache(connect(server.url, limits), limits, seen or Remembering())
    await cache.start()
    try:
        yield cache
    finally:
        await cache.aclose()


def _turns(server: RedisServer) -> int:
    return server.command("KEYS", "classifier:turn:*").count(b"classifier:turn")


# ---------------------------------------------------------------------------- two caches


async def test_second_process_is_lent_the_firsts_answer(redis_server: RedisServer) -> None:
    """Who comes second waits, and gets the answer as soon as the first has it."""
    seen = Remembering()
    async with _cache(redis_server) as first, _cache(redis_server, seen) as second:
        assert await first.claim("key", PATIENT_S) == NOTHING
        waiting = asyncio.create_task(second.claim("key", PATIENT_S))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        first.put("key", ANSWER)
        found = await waiting
    assert (found.answer, found.lent, seen.turns) == (ANSWER, True, ["lent"])
    assert _turns(redis_server) == 0


async def test_turn_goes_on_when_it_is_given_back(redis_server: RedisServer) -> None:
    """A first process without an answer passes the turn on; it is no error to be told."""
    seen = Remembering()
    async with _cache(redis_server) as first, _cache(redis_server, seen) as second:
        await first.claim("key", PATIENT_S)
        waiting = asyncio.create_task(second.claim("key", PATIENT_S))
        await asyncio.sleep(0.05)
        first.release("key")
        assert await waiting == NOTHING
    assert seen.turns == ["asking"]


async def test_turn_of_the_dead_expires(redis_server: RedisServer) -> None:
    """A process that never comes back holds up one other for as long as its turn, and no more."""
    seen = Remembering()
    async with _cache(redis_server) as first, _cache(redis_server, seen) as second:
        await first.claim("key", 0.2)
        assert await second.claim("key", PATIENT_S) == NOTHING
    assert seen.turns == ["asking"]


async def test_patience_ends(redis_server: RedisServer) -> None:
    """A turn that lasts longer than the patience is not waited for."""
    seen = Remembering()
    async with _cache(redis_server) as first, _cache(redis_server, seen) as second:
        await first.claim("key", PATIENT_S)
        assert await second.claim("key", 0.1) == NOTHING
    assert seen.turns == ["gave_up"]


async def test_late_release_takes_nobodys_turn(redis_server: RedisServer) -> None:
    """A turn that expired and is another's by now is not ended by its first holder."""
    async with _cache(redis_server) as first, _cache(redis_server) as second:
        await first.claim("key", 0.05)
        await asyncio.sleep(0.1)
        await second.claim("key", PATIENT_S)
        first.release("key")
        await asyncio.sleep(0.1)
        assert _turns(redis_server) == 1


async def test_own_turn_is_not_waited_for(redis_server: RedisServer) -> None:
    """The same process asks again at once: its own coalescing has seen to the rest."""
    async with _cache(redis_server) as cache:
        await cache.claim("key", PATIENT_S)
        async with asyncio.timeout(PATIENT_S / 2):
            assert await cache.claim("key", PATIENT_S) == NOTHING


async def test_no_patience_takes_no_turn(redis_server: RedisServer) -> None:
    """Without patience a look-up writes nothing to Redis."""
    async with _cache(redis_server) as cache:
        assert await cache.claim("key", 0.0) == NOTHING
        assert await cache.get("key") is None
    assert _turns(redis_server) == 0


async def test_waiting_ends_with_redis(redis_server: RedisServer) -> None:
    """Redis dies while a process waits for another's answer: it goes and asks itself."""
    async with _cache(redis_server) as first, _cache(redis_server) as second:
        await first.claim("key", PATIENT_S)
        waiting = asyncio.create_task(second.claim("key", PATIENT_S))
        await asyncio.sleep(0.05)
        redis_server.kill()
        started = time.perf_counter()
        assert await waiting == NOTHING
        assert time.perf_counter() - started < PATIENT_S / 2


@pytest.mark.parametrize("setting", [("maxmemory", "1"), ("min-replicas-to-write", "1")])
async def test_redis_without_writes_has_no_turns(
    redis_server: RedisServer, setting: tuple[str, str]
) -> None:
    """A full or read-only Redis still gives answers, and nobody waits for a turn it cannot hold."""
    async with _cache(redis_server) as first, _cache(redis_server) as second:
        first.put("known", ANSWER)
        await eventually(lambda: redis_server.command("EXISTS", "known") == b":1\r\n")
        redis_server.command("CONFIG", "SET", *setting)
        for cache in (first, second):
            async with asyncio.timeout(PATIENT_S / 2):
                assert await cache.claim("unknown", PATIENT_S) == NOTHING
            assert (await cache.claim("known", PATIENT_S)).answer == ANSWER
            assert not cache.is_away


async def test_memory_keeps_no_answer_beyond_its_own_time(redis_server: RedisServer) -> None:
    """What Redis had for most of its life lives in memory only for the rest of it."""
    now = [0.0]
    async with _cache(redis_server) as behind:
        behind.put("key", structs.replace(ANSWER, ttl_s=3_600.0))
        await eventually(lambda: redis_server.command("EXISTS", "key") == b":1\r\n")
        redis_server.command("PEXPIRE", "key", "30000")
        cache = TieredCache(MemoryCache(10, clock=lambda: now[0]), behind, 600.0, Remembering())
        found = await cache.claim("key", 0.0)
        assert found.answer is not None
        assert 20.0 < found.left_s <= 30.0
        now[0] = 20.0
        assert cache.look_up("key") is not None
        now[0] = 30.1
        assert cache.look_up("key") is None


# ---------------------------------------------------------------------------- whole services


async def test_switched_off_asks_twice(
    config_file: Path, redis_server: RedisServer, short_model: Upstream
) -> None:
    """`across_replicas = false`: two services ask for the same ticket side by side."""
    edited(config_file, "[claims]", "[cache]\nacross_replicas = false\n[claims]")
    environ = {"CLASSIFIER_REDIS_URL": redis_server.url, **SECRET}
    short_model.delay_s = 0.2
    async with service(config_file, environ) as one, service(config_file, environ) as other:
        answers = await asyncio.gather(one.classify("twice"), other.classify("twice"))
    assert [answer.json()["source"] for answer in answers] == ["model", "model"]
    assert len(short_model.calls) == 2


async def test_services_share_one_call(
    config_file: Path, redis_server: RedisServer, short_model: Upstream
) -> None:
    """Of two services one asks; the other's answer is coalesced, free, and shows what it waited for."""
    environ = {"CLASSIFIER_REDIS_URL": redis_server.url, **SECRET}
    short_model.delay_s = 0.2
    async with service(config_file, environ) as one, service(config_file, environ) as other:
        answers = await asyncio.gather(one.classify("twice"), other.classify("twice"))
        found = sorted((a.json() for a in answers), key=lambda answer: str(answer["source"]))
        assert await one.metric("classifier_cache_turns_total") == 1
        assert await other.metric("classifier_cache_turns_total") == 1
    lent, asked = found
    assert (lent["source"], asked["source"]) == ("coalesced", "model")
    assert lent["cost_usd"] == "0"
    assert lent["latency_ms"]["model"] > 0
    assert len(short_model.calls) == 1


async def test_failed_ticket_does_not_hold_up_the_next(
    config_file: Path, redis_server: RedisServer, short_model: Upstream, long_model: Upstream
) -> None:
    """A service whose models fail gives its turn back: nothing is left behind in Redis."""
    environ = {"CLASSIFIER_REDIS_URL": redis_server.url, **SECRET}
    for model in (short_model, long_model):
        model.answers({}, 500)
    async with service(config_file, environ) as house:
        assert (await house.classify("fails")).status_code == 503
        await eventually(lambda: _turns(redis_server) == 0)


async def test_stampede_over_processes(
    tmp_path: Path, redis_server: RedisServer, short_model: Upstream, long_model: Upstream
) -> None:
    """Four processes, one ticket: at most two calls. The one that asks is killed: no error elsewhere."""
    config = write_config(tmp_path, short_model.url, long_model.url, PATIENT)
    edited(config, "timeout_s = 1.0", "timeout_s = 20.0")
    environ = {"CLASSIFIER_REDIS_URL": redis_server.url, **SECRET}
    short_model.delay_s = 0.4
    async with replicas(PROCESSES, config, environ) as processes:
        answers = await asyncio.gather(*(_asked(p, "stampede") for p in processes * 50))
        assert {(status, label) for status, label, _ in answers} == {(200, "billing")}
        assert len(short_model.calls) + len(long_model.calls) <= 2
        await _kill_the_leader(processes, short_model)


async def _kill_the_leader(processes: list[Replica], model: Upstream) -> None:
    before = len(model.calls)
    leader, *others = processes
    lost = asyncio.create_task(_asked(leader, "orphan", "2000"))  # its turn lasts a second
    await eventually(lambda: len(model.calls) > before, within_s=10.0)
    waiting = [asyncio.create_task(_asked(p, "orphan")) for p in others * 10]
    await asyncio.sleep(0.1)
    leader.signal(signal.SIGKILL)
    answers = await asyncio.gather(*waiting)
    assert {(status, label) for status, label, _ in answers} == {(200, "billing")}
    assert len(model.calls) - before <= PROCESSES
    await asyncio.gather(lost, return_exceptions=True)


async def _asked(process: Replica, body: str, timeout_ms: str = "20000") -> tuple[int, str, str]:
    answer = await process.classify(body, {"X-Timeout-Ms": timeout_ms})
    found = answer.json()
    return answer.status_code, found.get("label", ""), found.get("source", "")
