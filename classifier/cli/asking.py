"""Two ways to have a ticket classified by a command: in this process, or by a running service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import httpx2
import msgspec

from classifier.api.answers import Answered, answered
from classifier.api.problems import Problem, problem
from classifier.app import House
from classifier.errors import ClassifierError, ConfigError
from classifier.pipeline import Wish
from classifier.records import Ticket
from classifier.settings import Settings, api_keys

_TRIES = 4
_MAX_PAUSE_S = 10.0
_answer = msgspec.json.Decoder(Answered).decode
_problem = msgspec.json.Decoder(Problem).decode


class Ask(Protocol):
    """Promise: an answer or a problem, never an exception for what concerns one ticket."""

    async def __call__(self, ticket: Ticket) -> Answered | Problem: ...


@asynccontextmanager
async def in_process(
    settings: Settings, environ: Mapping[str, str], path: str | None, *, use_cache: bool
) -> AsyncIterator[Ask]:
    """The pipeline without a server; its cache, prices and paths are those of the config."""
    house = House(settings, environ)
    if path is not None and path not in house.assembly.paths:
        raise ConfigError(f"there is no path {path!r}; paths: {', '.join(house.assembly.paths)}")
    wish = Wish("command", house.assembly.config.server.timeout_s, path, use_cache)

    async def ask(ticket: Ticket) -> Answered | Problem:
        try:
            return answered(await house.pipeline.classify(ticket, wish))
        except ClassifierError as error:
            return problem(error)

    async with house.open():
        yield ask


@asynccontextmanager
async def by_service(
    url: str, settings: Settings, path: str | None, *, use_cache: bool
) -> AsyncIterator[Ask]:
    """`POST /classify` of a running service; waits out what it asks to retry later."""
    keys = api_keys(settings)
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {keys[0]}"} if keys else {}
    params = ({"path": path} if path else {}) | ({} if use_cache else {"cache": "off"})
    limits = httpx2.Limits(max_connections=None, keepalive_expiry=60)
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, params=params, timeout=60, limits=limits
    ) as client:

        async def ask(ticket: Ticket) -> Answered | Problem:
            body = msgspec.json.encode(ticket)
            for tries_left in range(_TRIES - 1, -1, -1):
                try:
                    response = await client.post("/classify", content=body)
                except httpx2.HTTPError as error:
                    found = Problem("connection", type(error).__name__, 0, f"no answer from {url}")
                    pause_s = 1.0
                else:
                    if response.status_code == httpx2.codes.OK:
                        return _answer(response.content)
                    found = _problem(response.content)
                    pause_s = min(float(response.headers.get("retry-after", 1)), _MAX_PAUSE_S)
                    if response.status_code not in (429, 503, 504):
                        return found
                if tries_left:
                    await asyncio.sleep(pause_s)
            return found

        yield ask
