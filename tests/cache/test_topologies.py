"""A cluster, sentinels and TLS: the same promises as with one plain Redis, against the real thing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from classifier.cache.connection import connect
from classifier.cache.redis import RedisCache
from classifier.errors import ConfigError
from tests.support.house import service
from tests.support.parts import ANSWER, Remembering, cache_config
from tests.support.redis_server import RedisServer, free_port
from tests.support.redis_topologies import Cluster, Watched, encrypted, running
from tests.support.waiting import eventually

KEYS = [f"key-{number}" for number in range(60)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that agree on who has which keys."""
    made = Cluster(tmp_path)
    with running(made):
        yield made


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A master, a replica and two sentinels."""
    made = Watched(tmp_path)
    with running(made):
        yield made


@asynccontextmanager
async def cache(
    url: str, observer: Remembering | None = None, **limits: int
) -> AsyncIterator[RedisCache]:
    """Started as the service starts it."""
    config = cache_config(**limits)
    made = RedisCache(connect(url, config), config, observer or Remembering())
    await made.start()
    try:
        yield made
    finally:
        await made.aclose()


async def store(tier: RedisCache, keys: list[str]) -> None:
    """Puts the answer under every key until all can be read: a cache may lose a write."""

    async def all_there() -> bool:
        missing = set(keys) - set(await found(tier, keys))
        for key in missing:
            tier.put(key, ANSWER)
        return not missing

    await eventually(all_there, 10)


async def found(tier: RedisCache, keys: list[str]) -> list[str]:
    """The keys that have an answer."""
    return [key for key in keys if await tier.get(key) == ANSWER]


# ---------------------------------------------------------------------------------------- a cluster


async def test_cluster_shares_the_keys(cluster: Cluster) -> None:
    """Every node holds some of the answers, and all of them are found."""
    async with cache(cluster.url) as tier:
        await store(tier, KEYS)
        sizes = [int(node.command("DBSIZE").strip(b":\r\n")) for node in cluster.nodes]
        assert sum(sizes) == len(KEYS)
        assert min(sizes) > 0


async def test_cluster_without_a_node_keeps_other_keys(cluster: Cluster) -> None:
    """One dead node costs its own third of the answers, never an error and never a long wait."""
    async with cache(cluster.url) as tier:
        await store(tier, KEYS)
        held = int(cluster.nodes[1].command("DBSIZE").strip(b":\r\n"))
        cluster.nodes[1].kill()
        started = time.monotonic()
        left = await found(tier, KEYS)
        assert time.monotonic() - started < len(KEYS) * 0.2
        assert len(left) >= len(KEYS) - held - 10
        assert not tier.is_away or held > 20


async def test_hung_cluster_node_costs_one_limit(cluster: Cluster) -> None:
    """A look-up on a node that hangs ends with its time limit."""
    async with cache(cluster.url) as tier:
        await store(tier, KEYS)
        cluster.nodes[0].pause()
        slowest = 0.0
        for key in KEYS[:20]:
            started = time.monotonic()
            await tier.get(key)
            slowest = max(slowest, time.monotonic() - started)
        cluster.nodes[0].resume()
        assert slowest < 0.1 + 0.15


async def test_cluster_comes_back(cluster: Cluster) -> None:
    """All nodes gone is a miss, and the cluster is used again once it is there, without a restart."""
    async with cache(cluster.url) as tier:
        await store(tier, KEYS[:6])
        for node in cluster.nodes:
            node.kill()
        while not tier.is_away:
            assert await tier.get("key-0") is None
        for node in cluster.nodes:
            node.start()
        await eventually(lambda: not tier.is_away, 20)
        await store(tier, KEYS[6:12])


async def test_cluster_lets_a_burst_take_turns(cluster: Cluster) -> None:
    """200 look-ups over 4 connections are no error: redis-py would raise at the fifth."""
    observer = Remembering()
    async with cache(cluster.url, observer, redis_connections=4, redis_timeout_s=1) as tier:
        await store(tier, KEYS[:3])
        observer.operations.clear()
        await asyncio.gather(*(tier.get(KEYS[number % 3]) for number in range(200)))
        assert {outcome for _, _, outcome in observer.operations} == {"hit"}


async def test_cluster_that_is_away_at_the_start_is_found_later(tmp_path: Path) -> None:
    """The service starts without its cluster and takes it into use when it comes."""
    made = Cluster(tmp_path)
    async with cache(made.url) as tier:
        assert await tier.get("key-0") is None
        with running(made):
            await eventually(lambda: not tier.is_away, 20)
            await store(tier, KEYS[:6])


async def test_service_runs_on_a_cluster(cluster: Cluster, config_file: Path) -> None:
    """Through the front door: the URL alone makes the difference."""
    environ = {
        "CLASSIFIER_REDIS_URL": cluster.url,
        "CLASSIFIER_CACHE_SECRET": "a-secret-of-the-tests",
    }
    async with service(config_file, environ) as running_service:
        assert (await running_service.classify("charged twice")).json()["source"] == "model"
        state = (await running_service.client.get("/readyz")).json()
        assert state["cache"] == "memory, redis"
    keys = b"".join(node.command("KEYS", "*") for node in cluster.nodes)
    assert keys.count(b"classifier:1:") == 1


# --------------------------------------------------------------------------------------- sentinels


async def test_sentinels_name_the_master(watched: Watched) -> None:
    """Answers are stored on the master; its replica is not asked."""
    async with cache(watched.url) as tier:
        await store(tier, KEYS[:6])
        assert watched.master.command("DBSIZE") == b":6\r\n"


async def test_new_master_is_found_without_restart(watched: Watched) -> None:
    """The master dies, the sentinels promote the replica: answers are stored and found again."""
    watched.wait_for_agreement()
    async with cache(watched.url) as tier:
        await store(tier, KEYS[:6])
        watched.master.kill()
        while not tier.is_away:
            await tier.get("key-0")
        await eventually(lambda: not tier.is_away, 30)
        await eventually(
            lambda: b"role:master" in watched.replica.command("INFO", "replication"), 10
        )
        await store(tier, KEYS[6:12])
        assert int(watched.replica.command("DBSIZE").strip(b":\r\n")) >= 6


async def test_dead_sentinel_is_passed_over(watched: Watched) -> None:
    """A sentinel that hangs and one that is gone still leave time for the one that answers."""
    watched.sentinels[0].pause()
    hosts = f"127.0.0.1:{free_port()},{','.join(each.address for each in watched.sentinels)}"
    async with cache(f"redis+sentinel://{hosts}/tickets/0") as tier:
        await store(tier, KEYS[:6])


# ---------------------------------------------------------------------------------------------- TLS


async def test_tls_with_its_authority(redis_server: RedisServer, tmp_path: Path) -> None:
    """`rediss://` with the authority's file is an encrypted cache like any other."""
    async with encrypted(tmp_path, redis_server.port) as door, cache(door.trusting_url) as tier:
        await store(tier, KEYS[:6])


async def test_tls_refuses_unknown_authority(redis_server: RedisServer, tmp_path: Path) -> None:
    """A certificate that nobody vouches for gets no answers and no keys: Redis is away."""
    async with encrypted(tmp_path, redis_server.port) as door, cache(door.url) as tier:
        while not tier.is_away:
            assert await tier.get("key-0") is None
    assert redis_server.command("INFO", "commandstats").count(b"cmdstat_get") == 0


# --------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host:26379",
        "redis+sentinel:///tickets",
        "redis+cluster://",
        "redis+cluster://host:6379/3",
        "redis+cluster://host:6379?no_such_option=1",
        "redis+ring://host:6379",
        "http+cluster://host:6379",
        "redis+cluster://host:port",
    ],
)
def test_wrong_url_is_refused_with_the_right_form(url: str) -> None:
    """The message shows how to write it, and keeps the text with its password to itself."""
    secret = url.replace("//", "//user:hunter2@")
    with pytest.raises(ConfigError, match=r"redis\+cluster://HOST:PORT") as refused:
        connect(secret, cache_config())
    assert "hunter2" not in str(refused.value)
