"""Where the cache's Redis is: one server, the master that sentinels name, or a cluster.

redis-py 8.1's defaults hold a call for 3.9-58.8 s when the server is away (10 retries, 5 s socket
timeout) and raise at 100 connections; every one of them is set here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from classifier.config.schema import Cache as CacheConfig
from classifier.errors import ConfigError

_CLUSTER_LIMIT_S = 2.0  # for a cluster's map of keys, which no ticket waits for
_SENTINEL_PORT = 26_379
_REDIS_PORT = 6_379


class Client(Protocol):
    """Bounded, without retries and without waiting longer for a connection than the config allows.

    Calls raise RedisError, OSError or TimeoutError; the caller limits how long they take.
    """

    async def open(self) -> None:
        """Connects ahead of the first look-up, since a cold pool would spend its time limit."""
        ...

    async def locate(self) -> None:
        """Finds out where keys live after a failure; nothing to do where there is one place."""
        ...

    async def get(self, key: str) -> bytes | str | None: ...

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[bytes | str]) -> Any:
        """One Lua script over keys that live in one place: atomic, one round trip."""
        ...

    async def setting(self, name: str) -> str | None:
        """What the server is set to; None where it does not tell, as managed ones do."""
        ...

    async def aclose(self) -> None: ...


def connect(url: str, config: CacheConfig, variable: str = "CLASSIFIER_REDIS_URL") -> Client:
    """Opens nothing yet. Raises ConfigError for a URL that is none, without repeating its text."""
    kinds: dict[str, Callable[[SplitResult, CacheConfig], Client]] = {
        "": _plain,
        "sentinel": _behind_sentinels,
        "cluster": _Cluster,
    }
    try:
        parts = urlsplit(url)
        scheme, _, topology = parts.scheme.partition("+")
        return kinds[topology](parts._replace(scheme=scheme), config)
    except (KeyError, TypeError, ValueError, RedisError) as error:
        raise ConfigError(
            f"{variable} is not a Redis URL: write redis://HOST:PORT/0, unix://PATH, "
            "redis+sentinel://HOST:PORT,HOST:PORT/NAME/0 or redis+cluster://HOST:PORT,HOST:PORT; "
            "rediss… for TLS"
        ) from error


class _Server:
    """One server, or the master of the moment: a pool that waits instead of raising."""

    def __init__(
        self, pool: BlockingConnectionPool, config: CacheConfig, sentinels: Sentinel | None = None
    ) -> None:
        pool.make_connection()  # type: ignore[no-untyped-call]  # opens nothing, refuses unknown options
        self._pool = pool
        self._redis = Redis.from_pool(pool)
        self._sentinels = sentinels
        self._connections = config.redis_connections
        self._timeout_s = config.redis_timeout_s

    async def open(self) -> None:
        opened = []
        try:
            for _ in range(self._connections):
                async with asyncio.timeout(self._timeout_s):
                    opened.append(await self._pool.get_connection())  # type: ignore[no-untyped-call]
        finally:
            for connection in opened:
                await self._pool.release(connection)

    async def locate(self) -> None:
        return  # sentinels are asked whenever a connection is made

    async def get(self, key: str) -> bytes | str | None:
        return await self._redis.get(key)

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[bytes | str]) -> Any:
        return await _run(self._redis, script, keys, arguments)

    async def setting(self, name: str) -> str | None:
        return await _told(name, self._redis.config_get(name))

    async def aclose(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()
            if self._sentinels is not None:
                await self._sentinels.aclose()


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Asks the sentinels for the master's address, and waits when all connections are in use."""


class _Cluster:
    """A cluster. Its client raises when a node's pool is empty, so callers take turns before that."""

    def __init__(self, parts: SplitResult, config: CacheConfig) -> None:
        options = _options(parts)
        if options.pop("db", 0):
            raise ValueError("a cluster has no numbered databases")
        options.pop("connection_class", None)
        self._redis = RedisCluster(
            startup_nodes=[ClusterNode(*node) for node in _nodes(parts, _REDIS_PORT)],
            ssl=parts.scheme == "rediss",
            require_full_coverage=False,  # a dead shard costs its own keys, not all
            max_connections=config.redis_connections,
            **_limits(config),
            **options,
        )
        self._turns = asyncio.Semaphore(config.redis_connections)

    async def open(self) -> None:
        await self.locate()

    async def locate(self) -> None:
        with _as_redis_error():
            async with asyncio.timeout(_CLUSTER_LIMIT_S):
                await self._redis.initialize()

    async def get(self, key: str) -> bytes | str | None:
        with _as_redis_error():
            async with self._turns:
                found: bytes | str | None = await self._redis.get(key)
                return found

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[bytes | str]) -> Any:
        with _as_redis_error():
            async with self._turns:
                return await _run(self._redis, script, keys, arguments)

    async def setting(self, name: str) -> str | None:
        with _as_redis_error():
            async with self._turns:
                primary = self._redis.get_default_node()
                return await _told(name, self._redis.config_get(name, target_nodes=primary))

    async def aclose(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()


async def _run(
    redis: Redis | RedisCluster,
    script: str,
    keys: Sequence[str],
    arguments: Sequence[bytes | str],
) -> Any:
    # EVAL, not EVALSHA: a server that was restarted knows no script, and that would be a second trip.
    return await redis.execute_command("EVAL", script, len(keys), *keys, *arguments)


async def _told(name: str, asked: Awaitable[Any]) -> str | None:
    try:
        found = await asked
    except ResponseError:  # a managed server, or a user without the right to ask
        return None
    value = found.get(name, found.get(name.encode()))
    return value.decode() if isinstance(value, bytes) else value


@contextlib.contextmanager
def _as_redis_error() -> Iterator[None]:
    """redis-py's one error that is no RedisError: no node of a cluster can be reached."""
    try:
        yield
    except RedisClusterException as error:
        raise RedisConnectionError("no node of the cluster answers") from error


def _plain(parts: SplitResult, config: CacheConfig) -> _Server:
    limits = {**_limits(config), **_bounds(config)}
    return _Server(BlockingConnectionPool.from_url(parts.geturl(), **limits), config)


def _behind_sentinels(parts: SplitResult, config: CacheConfig) -> _Server:
    """`/NAME/0`: the master's name, and its database."""
    name, _, database = parts.path.strip("/").partition("/")
    if not name:
        raise ValueError("no master's name")
    options = _options(parts._replace(path=f"/{database}"))
    uses_tls = options.pop("connection_class", None) is SSLConnection
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    asking = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    # A third of the limit each: two sentinels may be dead, and the look-up still gets its answer.
    patience_s = config.redis_timeout_s / 3
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        _nodes(parts, _SENTINEL_PORT),
        sentinel_kwargs={
            **_limits(config), **tls, **asking, "ssl": uses_tls,
            "socket_timeout": patience_s, "socket_connect_timeout": patience_s,
        },
    )  # fmt: skip
    kind = SentinelManagedSSLConnection if uses_tls else SentinelManagedConnection
    pool = _SentinelPool(  # type: ignore[no-untyped-call]
        unquote(name), sentinels, connection_class=kind,
        **_limits(config), **_bounds(config), **options,
    )  # fmt: skip
    return _Server(pool, config, sentinels)


def _limits(config: CacheConfig) -> dict[str, Any]:
    """No retries, and no time limits on reads but the caller's.

    redis-py's own `socket_timeout` puts every write into asyncio.wait_for, which before Python 3.12
    swallows cancellations now and then: look-ups that outlast their limit, writers that never end.
    """
    return {
        "socket_timeout": None,
        "socket_connect_timeout": config.redis_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }


def _bounds(config: CacheConfig) -> dict[str, Any]:
    return {"max_connections": config.redis_connections, "timeout": config.redis_timeout_s}


def _options(parts: SplitResult) -> dict[str, Any]:
    """User, password, database and query of the URL, as redis-py reads them from a plain one."""
    user, at, _ = parts.netloc.rpartition("@")
    options = dict(parse_url(parts._replace(netloc=f"{user}{at}host:1").geturl()))
    del options["host"], options["port"]
    return options


def _nodes(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    nodes = []
    for node in parts.netloc.rpartition("@")[2].split(","):
        address = urlsplit(f"//{node}")
        if not address.hostname:
            raise ValueError("a host is missing")
        nodes.append((address.hostname, address.port or default_port))
    return nodes
