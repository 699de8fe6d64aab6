"""The helpdesk half of the house, put together: queues and ledger stay, accounts come with the config."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from msgspec import structs

from classifier.assembly import Assembly
from classifier.cache.connection import connect
from classifier.config.schema import Config
from classifier.errors import ConfigError
from classifier.helpdesks.desk import Desk
from classifier.inbox.queues import Away, Queues
from classifier.inbox.sqlite import SqliteQueues
from classifier.inbox.streams import RedisQueues
from classifier.ledger import Ledger, LedgerAway
from classifier.logs import event
from classifier.loop.intake import Intake
from classifier.loop.reader import Classify
from classifier.loop.running import Loop, limits_of
from classifier.metrics.helpdesks import HelpdeskMetrics
from classifier.pipeline import Pipeline, Wish
from classifier.records import Classification, Ticket
from classifier.settings import Settings

T = TypeVar("T")
_CONNECTIONS = 16
_OPEN_EVERY_S = 1.0
_OPEN_WITHIN_S = 30.0


class Backoffice:
    """What turns deliveries into labels in tickets, for one process.

    `queues` and `ledger` are None where the settings give them no place.
    """

    def __init__(self, settings: Settings, assembly: Assembly, metrics: HelpdeskMetrics) -> None:
        """Raises ConfigError for helpdesks without a place for what must not be lost."""
        self._config = assembly.config.inbox
        self._desks: Mapping[str, Desk] = assembly.helpdesks
        self._metrics = metrics
        self.ledger = _ledger(settings, assembly, metrics)
        self.queues = queues_of(settings, assembly.config)
        if self.queues is None and self._desks:
            raise ConfigError(
                "helpdesks need a place for events that must not be lost: set CLASSIFIER_DATA_DIR "
                "to a folder on a disk that stays, or CLASSIFIER_INBOX_REDIS_URL"
            )
        self.intake = None if self.queues is None else Intake(self.desks, self.queues, metrics)
        self._loop: Loop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def desks(self) -> Mapping[str, Desk]:
        return self._desks

    async def open(self, pipeline: Pipeline, *, works: bool) -> None:
        """`works`: this process also works on the queues. Raises ConfigError when they stay away."""
        if self.ledger is not None:
            await _opened(self.ledger.open, "the ledger")
            pipeline.ledger = self.ledger
        if self.queues is None:
            return
        durability = await _opened(self.queues.open, "the inbox")
        self._metrics.inbox_opened(durability)
        if durability != "durable":
            self._warn_or_refuse(durability)
        self._loop = Loop(
            self.desks, self.queues, _classify(pipeline), self.ledger, self._config, self._metrics
        )
        self._keep(self._loop.watch_depths())
        if works:
            self._loop.start()

    def swap(self, assembly: Assembly, after_s: float) -> None:
        """New accounts and actions go live; the old ones' connections close when calls have ended."""
        retired, self._desks = self._desks, assembly.helpdesks
        if retired:
            self._keep(_close_later(retired, after_s))

    async def aclose(self) -> None:
        """Finishes what is in hand, then closes queues, accounts and ledger, in this order."""
        if self._loop is not None:
            await self._loop.aclose()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.queues is not None:
            await self.queues.aclose()
        await asyncio.gather(*(desk.aclose() for desk in self._desks.values()))
        if self.ledger is not None:
            await self.ledger.aclose()

    def _warn_or_refuse(self, durability: str) -> None:
        wanted = self._config.durability
        if wanted == "required" and durability == "unsafe":
            event(logging.ERROR, "inbox.refused", found=durability)
            raise ConfigError(
                "the inbox's Redis would lose events when it dies: give it `appendonly yes` and a "
                'maxmemory-policy that evicts no streams, or set durability = "wanted" under [inbox]'
            )
        event(logging.WARNING, "inbox.durability", found=durability, wanted=wanted)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _opened(open_it: Callable[[], Awaitable[T]], what: str) -> T:
    """A server that is just starting too is waited for. Raises ConfigError when it stays away."""
    deadline = monotonic() + _OPEN_WITHIN_S
    while True:
        try:
            return await open_it()
        except (Away, LedgerAway) as error:
            if monotonic() > deadline:
                raise ConfigError(f"{what} cannot be opened: {error}") from error
            event(logging.WARNING, "backoffice.waiting", what=what, reason=str(error))
        await asyncio.sleep(_OPEN_EVERY_S)


async def _close_later(desks: Mapping[str, Desk], after_s: float) -> None:
    try:
        await asyncio.sleep(after_s)
    finally:
        await asyncio.gather(*(desk.aclose() for desk in desks.values()))


def _classify(pipeline: Pipeline) -> Classify:
    async def classify(ticket: Ticket, account: str, timeout_s: float) -> Classification:
        return await pipeline.classify(ticket, Wish("webhook", timeout_s, account=account))

    return classify


def _ledger(settings: Settings, assembly: Assembly, metrics: HelpdeskMetrics) -> Ledger | None:
    if not settings.data_dir:
        return None
    return Ledger(Path(settings.data_dir) / "ledger.sqlite", assembly.config.ledger, metrics)


def queues_of(settings: Settings, config: Config) -> Queues | None:
    """The queues where the settings say; None where they say nothing. Raises ConfigError."""
    inbox = config.inbox
    if settings.inbox_redis_url:
        if settings.inbox_redis_url == settings.redis_url:
            raise ConfigError(
                "CLASSIFIER_INBOX_REDIS_URL and CLASSIFIER_REDIS_URL are the same: a cache that "
                "makes room for itself evicts events; give the inbox a Redis of its own"
            )
        limits = structs.replace(
            config.cache,
            redis_timeout_s=min(1.0, inbox.redis_timeout_s),
            redis_connections=_CONNECTIONS,
        )
        client = connect(settings.inbox_redis_url, limits, "CLASSIFIER_INBOX_REDIS_URL")
        return RedisQueues(client, limits_of(inbox), timeout_s=inbox.redis_timeout_s)
    if settings.data_dir:
        return SqliteQueues(Path(settings.data_dir) / "queues.sqlite", limits_of(inbox))
    return None
