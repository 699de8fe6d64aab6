"""Whatever Redis does, tickets are answered: the whole service over a real server that breaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.house import Service, edited, service, write_config
from tests.support.proxy import FaultProxy, proxied
from tests.support.redis_server import RedisServer
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

AT_ONCE = 10
BREAKER_FAILURES = 5
# No tier in memory: every ticket asks Redis. Generous paths: only Redis shall be slow here.
CACHE = """
[cache]
memory_entries = 0
redis_timeout_s = 0.1
breaker_failures = 5
breaker_probe_s = 0.1
"""
Act = Callable[[RedisServer, FaultProxy], Awaitable[None]]


class Fault(NamedTuple):
    """How to break Redis and how to mend it; `hits_during`: look-ups still work meanwhile."""

    begin: Act
    end: Act
    hits_during: bool = False


def _on_server(*actions: Callable[[RedisServer], object]) -> Act:
    async def act(server: RedisServer, proxy: FaultProxy) -> None:
        for action in actions:
            action(server)

    return act


def _through_proxy(mode: str) -> Act:
    async def act(server: RedisServer, proxy: FaultProxy) -> None:
        proxy.delay_s = 1.0
        await proxy.set(mode)  # type: ignore[arg-type]  # one of its modes

    return act


def _said(*words: str) -> Act:
    return _on_server(lambda server: server.command(*words))


async def _load_slowly(server: RedisServer, proxy: FaultProxy) -> None:
    server.command("DEBUG", "POPULATE", "1500")
    server.command("CONFIG", "SET", "key-load-delay", "1000")
    reload = asyncio.to_thread(server.command, "DEBUG", "RELOAD")
    _LOADING.append(asyncio.create_task(reload))
    await eventually(lambda: server.command("GET", "x").startswith(b"-LOADING"))


async def _loaded(server: RedisServer, proxy: FaultProxy) -> None:
    await asyncio.gather(*_LOADING, return_exceptions=True)
    _LOADING.clear()


_LOADING: list[asyncio.Task[bytes]] = []
HEALED = _through_proxy("pass")
FAULTS = {
    "hung": Fault(_on_server(RedisServer.pause), _on_server(RedisServer.resume)),
    "killed": Fault(_on_server(RedisServer.kill), _on_server(RedisServer.start)),
    "refused": Fault(_through_proxy("refuse"), HEALED),
    "silent": Fault(_through_proxy("blackhole"), HEALED),
    "slow": Fault(_through_proxy("delay"), HEALED),
    "reset": Fault(_through_proxy("reset"), HEALED),
    "cut": Fault(_through_proxy("cut"), HEALED),
    "loading": Fault(_load_slowly, _loaded),
    "stale": Fault(
        _on_server(
            lambda server: server.command("CONFIG", "SET", "replica-serve-stale-data", "no"),
            lambda server: server.command("REPLICAOF", "127.0.0.1", "1"),
        ),
        _said("REPLICAOF", "NO", "ONE"),
    ),
    "replica": Fault(
        _said("REPLICAOF", "127.0.0.1", "1"), _said("REPLICAOF", "NO", "ONE"), hits_during=True
    ),
    "full": Fault(
        _said("CONFIG", "SET", "maxmemory", "1"),
        _said("CONFIG", "SET", "maxmemory", "0"),
        hits_during=True,
    ),
    "short of replicas": Fault(
        _said("CONFIG", "SET", "min-replicas-to-write", "1"),
        _said("CONFIG", "SET", "min-replicas-to-write", "0"),
        hits_during=True,
    ),
}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A server that can be told to load slowly."""
    arguments = ("--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    server = RedisServer(tmp_path, *arguments)
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def _house(
    folder: Path, port: int, short: Upstream, long: Upstream, cache: str = CACHE
) -> AsyncIterator[Service]:
    config = write_config(folder, short.url, long.url, cache)
    config = edited(config, "timeout_s = 1.0", "timeout_s = 20.0")
    environ = {
        "CLASSIFIER_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "CLASSIFIER_CACHE_SECRET": "a secret of sixteen characters",
    }
    async with service(config, environ) as running:
        yield running


async def _load(house: Service, name: str, tickets: int) -> None:
    """So many different tickets, ten at a time; all of them must be answered, and rightly."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(number: int) -> tuple[int, str]:
        async with gate:
            answer = await house.classify(f"{name} {number}")
            return answer.status_code, answer.json().get("label")

    found = await asyncio.gather(*(ask(number) for number in range(tickets)))
    assert set(found) == {(200, "billing")}


async def _waited(house: Service) -> float:
    """Look-ups that got nothing from Redis but a wait or an error."""
    found = await house.metrics()
    name = 'classifier_cache_operations_total{operation="get",outcome="%s",tier="redis"}'
    return sum(found.get(name % outcome, 0.0) for outcome in ("timeout", "error"))


async def _write_failed(house: Service) -> bool:
    wanted = {"operation": "put", "outcome": "error"}
    return await house.metric("classifier_cache_operations_total", **wanted) > 0


async def _until_asked(model: Upstream, calls: int, load: asyncio.Task[None]) -> None:
    await eventually(lambda: load.done() or len(model.calls) >= calls, within_s=15.0)


async def _until_hit(house: Service, body: str) -> None:
    """Asks until the answer comes from the cache, and Redis counts as there."""

    async def hit() -> bool:
        source = (await house.classify(body)).json()["source"]
        away = await house.metric("classifier_cache_redis_away")
        return bool(source == "cache" and away == 0.0)

    await eventually(hit, within_s=15.0)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_redis_cannot_hurt(
    tmp_path: Path, redis: RedisServer, short_model: Upstream, long_model: Upstream, fault: Fault
) -> None:
    """No ticket fails, only the first few wait, and the cache comes back by itself."""
    async with (
        proxied(redis.port) as proxy,
        _house(tmp_path, proxy.port, short_model, long_model) as house,
    ):
        await _until_hit(house, "known")
        before = await _waited(house)
        await fault.begin(redis, proxy)
        await _load(house, "during", 50)
        if fault.hits_during:
            await _until_hit(house, "known")
            await eventually(lambda: _write_failed(house), within_s=15.0)
        else:  # the breaker's own failures, and what was under way at that moment
            assert await _waited(house) - before <= BREAKER_FAILURES + AT_ONCE
        await fault.end(redis, proxy)
        await _until_hit(house, "known")
        await _until_hit(house, "new")


@pytest.mark.parametrize("name", ["hung", "silent", "refused", "reset", "loading", "killed"])
async def test_only_five_tickets_wait(
    tmp_path: Path, redis: RedisServer, short_model: Upstream, long_model: Upstream, name: str
) -> None:
    """Of tickets that come one after another five at most pay for the fault, and the rest nothing."""
    fault = FAULTS[name]
    async with (
        proxied(redis.port) as proxy,
        _house(tmp_path, proxy.port, short_model, long_model) as house,
    ):
        await _until_hit(house, "known")
        before = await _waited(house)
        await fault.begin(redis, proxy)
        for number in range(30):
            assert (await house.classify(f"{name} {number}")).status_code == 200
        assert await _waited(house) - before <= BREAKER_FAILURES
        await fault.end(redis, proxy)


@pytest.mark.parametrize("name", ["hung", "killed", "reset"])
async def test_redis_cannot_hurt_under_load(
    tmp_path: Path, redis: RedisServer, short_model: Upstream, long_model: Upstream, name: str
) -> None:
    """Look-ups and writes that are under way when Redis breaks, and when it mends, fail nobody."""
    fault = FAULTS[name]
    async with (
        proxied(redis.port) as proxy,
        _house(tmp_path, proxy.port, short_model, long_model) as house,
    ):
        await _until_hit(house, "known")
        load = asyncio.create_task(_load(house, "under way", 100))
        for act in (fault.begin, fault.end, fault.begin, fault.end):
            await _until_asked(short_model, len(short_model.calls) + 15, load)
            await act(redis, proxy)
        await load
        await _until_hit(house, "known")


async def test_start_without_redis(
    tmp_path: Path, redis: RedisServer, short_model: Upstream, long_model: Upstream
) -> None:
    """The service starts and answers without its Redis, is ready, and uses it once it is there."""
    redis.kill()
    async with _house(tmp_path, redis.port, short_model, long_model) as house:
        await _load(house, "without", 50)
        assert (await house.client.get("/readyz")).status_code == 200
        assert await house.metric("classifier_cache_redis_away") == 1
        assert await _waited(house) <= BREAKER_FAILURES + AT_ONCE
        redis.start()
        await _until_hit(house, "known")


async def test_hung_redis_costs_less_than_its_defaults(
    tmp_path: Path, redis: RedisServer, short_model: Upstream, long_model: Upstream
) -> None:
    """Thirty tickets in a row over a hung Redis end before redis-py's defaults end one (58 s)."""
    redis.pause()
    async with _house(tmp_path, redis.port, short_model, long_model) as house:
        started = time.perf_counter()
        for number in range(30):
            assert (await house.classify(f"ticket {number}")).status_code == 200
        assert time.perf_counter() - started < 10.0
        assert await _waited(house) < BREAKER_FAILURES  # one failure was the start's own


async def test_burst_on_a_cold_pool(
    tmp_path: Path, redis: RedisServer, short_model: Upstream, long_model: Upstream
) -> None:
    """300 tickets at once, right after the start, are 300 answers."""
    roomy = f"{CACHE}\n[overload]\nqueue_length = 300\nqueue_wait_s = 10.0\n"
    async with _house(tmp_path, redis.port, short_model, long_model, roomy) as house:
        answers = await asyncio.gather(*(house.classify(f"burst {n}") for n in range(300)))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["label"] for answer in answers} == {"billing"}
        await _until_hit(house, "known")


async def test_memory_goes_on_alone(
    tmp_path: Path, redis: RedisServer, short_model: Upstream, long_model: Upstream
) -> None:
    """While Redis is away what is in memory is still served, without waiting for anybody."""
    in_memory = CACHE.replace("memory_entries = 0", "memory_entries = 100")
    async with _house(tmp_path, redis.port, short_model, long_model, in_memory) as house:
        await house.classify("known")
        redis.kill()
        answer = (await house.classify("known")).json()
    assert (answer["source"], answer["cost_usd"]) == ("cache", "0")
    assert len(short_model.calls) == 1
