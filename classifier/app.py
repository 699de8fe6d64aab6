"""The builder: the only place where the house is put together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from msgspec import structs

from classifier.admission.admission import Admission
from classifier.api.auth import Doorkeeper
from classifier.api.console import console_doors
from classifier.api.context import stamp
from classifier.api.docs import openapi_config
from classifier.api.feedback import feedback_doors
from classifier.api.ops import alive_doors, ops_doors
from classifier.api.problems import handlers
from classifier.api.tickets import ticket_doors
from classifier.api.webhooks import webhook_doors
from classifier.assembly import Assembly
from classifier.backoffice import Backoffice
from classifier.budget.daily import DailyBudget
from classifier.cache.connection import connect
from classifier.cache.key import text_digest
from classifier.cache.memory import MemoryCache
from classifier.cache.redis import RedisCache
from classifier.cache.tiered import TieredCache
from classifier.config.load import config_file, load
from classifier.config.restart import waiting
from classifier.edge.census import Census
from classifier.edge.turnstile import Turnstile
from classifier.errors import ConfigError
from classifier.guards.judging import HOPELESS
from classifier.guards.registry import Guards
from classifier.health import Health
from classifier.helpdesks.accounts import open_helpdesks
from classifier.keys import LiveKeys
from classifier.logs import event
from classifier.metrics import Metrics, loop
from classifier.paths.pool import EndpointPool
from classifier.pipeline import Pipeline
from classifier.recent import Recent
from classifier.records import Attempt, Classification, Cost, Door, Source
from classifier.reload import Reloader
from classifier.settings import Settings


class House:
    """Everything that is put together for one process: the service's, or a command's."""

    is_worker = False

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Raises ConfigError for whatever would keep it from working."""
        self.keys = LiveKeys(settings, environ)
        self.settings = structs.replace(settings, api_keys="")  # from here on only hashes
        self._environ = environ
        self._config_file = config_file(settings.config)
        self._endpoints = EndpointPool(environ)
        self.budget = DailyBudget()
        self.metrics = _Observer()
        self._guards = Guards(self.metrics)
        self.assembly = self._build()
        self.census = Census(self.assembly.config.connections, self.metrics.edge)
        self.metrics.configured(self.assembly)
        self.backoffice = Backoffice(settings, self.assembly, self.metrics.helpdesks)
        self._started_with = self.assembly.config
        self._redis = self._connect_redis()
        cache = self._cache()
        self.health = self.metrics.health = Health(
            self.assembly, self._redis, self.metrics.attempted, caches=cache is not None
        )
        secret = settings.cache_secret.encode() or secrets.token_bytes(32)
        self._ready_budget(secret)
        self.pipeline = self._open_hallway(cache, secret)
        self.reloader = Reloader(
            self.assembly, self._build, self._swap, self._reloaded, also=self.keys.files
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def _open_hallway(self, cache: TieredCache | None, secret: bytes) -> Pipeline:
        admission = Admission(self.assembly.config.overload, self.metrics.overload)
        pipeline = Pipeline(self.assembly, cache, secret, self.metrics, admission)
        pipeline.budget = self.budget
        self.metrics.watch_in_flight(lambda: pipeline.in_flight)
        self.census.turnstile = Turnstile(pipeline, self.metrics.requested)
        return pipeline

    def _ready_budget(self, secret: bytes) -> None:
        self.budget.connect(self._redis, f"classifier:budget:{text_digest('', secret)}")
        self.budget.configure(self.assembly.config.budget)
        self.metrics.watch_budget(self.budget)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Warm connections before the first ticket; everything finished and closed after the last."""
        if self._redis is not None:
            await self._redis.start()
        await self.health.probe_all()
        self._start(self.health.watch())
        self._start(loop.watch(self.metrics.loop_late))
        self._start(self.budget.keep_reporting())
        gc.collect()
        gc.freeze()  # one full collection with everything loaded stops the loop for 84 ms
        try:
            yield
        finally:
            await self.backoffice.aclose()
            await self.pipeline.aclose()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._endpoints.aclose()
            if self._redis is not None and not self._started_with.cache.enabled:
                await self._redis.aclose()  # otherwise its cache has closed it
            gc.unfreeze()

    @contextlib.asynccontextmanager
    async def live(self, _app: Litestar) -> AsyncIterator[None]:
        """`open`, and the config reloads on SIGHUP and on change; `works` on the helpdesks' queues."""
        async with self.open():
            await self.backoffice.open(self.pipeline, works=self.is_worker or self._serves_queues)
            self._start(self.reloader.watch())
            # Outside the main thread, and on Windows, there is no SIGHUP: the files are watched anyway.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reloader.ask)
            event(
                logging.INFO, "service.ready", config=self.assembly.version, ready=self.health.ready
            )
            yield

    def end(self) -> float:
        """Nobody else comes. Returns how long those who are here may take, in seconds."""
        limit_s = self.assembly.config.server.max_timeout_s
        asyncio.get_running_loop().call_later(limit_s, self.pipeline.ending.set)
        return limit_s

    @property
    def _serves_queues(self) -> bool:
        return self.assembly.config.inbox.workers == "serve"

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _build(self) -> Assembly:
        self._read_keys()  # first: a revoked key ends even while the config is refused
        loaded = load(self._config_file, self._environ)
        desks = open_helpdesks(loaded.config.helpdesks, self._environ)
        return Assembly(loaded, self._endpoints.open, self._guards.guard, self.budget, desks)

    def _read_keys(self) -> None:
        self.keys.read()
        if self.keys.rotate():
            event(logging.WARNING, "keys.rotated", keys=len(self.keys))
            self.metrics.edge.keys_live(len(self.keys))

    def _connect_redis(self) -> RedisCache | None:
        """Without a cache too: a budget may come by a reload, and is shared from then on."""
        config = self.assembly.config.cache
        if not self.settings.redis_url:
            return None
        return RedisCache(connect(self.settings.redis_url, config), config, self.metrics)

    def _cache(self) -> TieredCache | None:
        config = self.assembly.config.cache
        if not config.enabled:
            return None
        memory = MemoryCache(config.memory_entries)
        return TieredCache(memory, self._redis, config.memory_ttl_s, self.metrics)

    async def _swap(self, assembly: Assembly) -> None:
        self.assembly = self.pipeline.assembly = self.health.assembly = assembly
        self.census.limits = assembly.config.connections
        self.metrics.configured(assembly)
        self._guards.settle({path.guard: path.config for path in assembly.paths.values()})
        self.budget.configure(assembly.config.budget)
        self.pipeline.admission.configure(assembly.config.overload)
        self.backoffice.swap(assembly, assembly.config.server.max_timeout_s)
        self._endpoints.retire_all_but(assembly.config.endpoints)
        self._start(self._endpoints.close_retired(assembly.config.server.max_timeout_s))
        self._tell_what_waits(assembly)

    def _tell_what_waits(self, assembly: Assembly) -> None:
        """Edits that look live and are not: said once per edit, shown until the restart."""
        keys = waiting(self._started_with, assembly.config)
        if self.settings.auth is not None:  # it overrides the file, before and after a restart
            keys = tuple(key for key in keys if key != "server.auth")
        if keys and keys != self.health.awaiting_restart:
            event(logging.WARNING, "config.restart_needed", keys=list(keys))
        self.health.awaiting_restart = keys
        self.metrics.awaiting_restart(len(keys))

    def _reloaded(self, outcome: str) -> None:
        self.health.config_refused = outcome == "refused"
        self.metrics.reloaded(outcome)


class _Observer(Metrics):
    """Metrics, and what else lives from the same events: a path's health, the console's window."""

    health: Health

    def __init__(self) -> None:
        super().__init__()
        self.recent = Recent()

    def cache_away(self, *, away: bool) -> None:
        super().cache_away(away=away)
        event(logging.WARNING, "cache.redis_away" if away else "cache.redis_back")

    def breaker_changed(self, path: str, state: str, reason: str) -> None:
        super().breaker_changed(path, state, reason)
        loud = logging.ERROR if reason in HOPELESS else logging.WARNING
        event(loud, f"path.{state}", path=path, reason=reason)

    def compared(self, source: Source, alone: Mapping[str, Cost]) -> None:
        super().compared(source, alone)
        self.recent.compared(alone)

    def attempted(self, attempt: Attempt) -> None:
        super().attempted(attempt)
        self.health.attempted(attempt)
        self.recent.attempted(attempt)

    def classified(self, classification: Classification, door: Door) -> None:
        super().classified(classification, door)
        self.recent.classified(classification)


def create_app(settings: Settings, environ: Mapping[str, str]) -> Litestar:
    """The service. Raises ConfigError, with what to do, before anything is opened."""
    house = House(settings, environ)
    auth = settings.auth or house.assembly.config.server.auth
    console = house.assembly.config.server.console
    door = Doorkeeper(auth, house.keys, settings.host)
    door.on_refusal = house.metrics.edge.key_refused
    house.metrics.edge.keys_live(len(house.keys))
    ops = ops_doors(house.health, house.metrics, lambda: house.census.draining)
    stamped = stamp(house.metrics.requested)
    # Two apps, so that neither knows the other's routes: what is not there cannot leak.
    behind = Litestar(
        route_handlers=[*alive_doors(), *ops],
        exception_handlers=handlers(),
        before_send=[stamped],
        openapi_config=None,
        logging_config=None,
    )
    return Litestar(
        route_handlers=[
            *ticket_doors(house.pipeline, door, log_tickets=settings.log_tickets),
            *alive_doors(),
            *(ops if settings.ops_port is None else []),
            *feedback_doors(house.backoffice.ledger, lambda: house.assembly, door),
            *webhook_doors(
                house.backoffice.intake, lambda: house.assembly.config.server.max_body_bytes
            ),
            *(console_doors(house.health, house.metrics.recent, door) if console else []),
        ],
        lifespan=[house.live],
        exception_handlers=handlers(),
        before_send=[stamped],
        openapi_config=openapi_config(),
        logging_config=None,
        state=State({"census": house.census, "end": house.end, "ops": behind}),
    )


def create_worker(settings: Settings, environ: Mapping[str, str]) -> Litestar:
    """Works on the helpdesks' queues; of the doors only the operators'. Raises ConfigError."""
    house = House(settings, environ)
    if house.backoffice.queues is None:
        raise ConfigError(
            "a worker needs the queues: set CLASSIFIER_INBOX_REDIS_URL (or CLASSIFIER_DATA_DIR)"
        )
    house.is_worker = True
    return Litestar(
        route_handlers=[
            *alive_doors(),
            *ops_doors(house.health, house.metrics, lambda: house.census.draining),
        ],
        lifespan=[house.live],
        exception_handlers=handlers(),
        before_send=[stamp(house.metrics.requested)],
        openapi_config=None,
        logging_config=None,
        state=State({"census": house.census, "end": house.end}),
    )
