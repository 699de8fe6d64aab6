"""Two ways to have a ticket classified by a command: in this process, or by a running service."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import httpx2
import msgspec

from classifier.api.answers import Answered, answered
from classifier.api.problems import Problem, problem
from classifier.app import House
from classifier.cli.listening import is_loopback
from classifier.errors import ClassifierError, ConfigError
from classifier.keys import is_hashed
from classifier.pipeline import Wish
from classifier.records import Ticket
from classifier.settings import Settings, api_keys

_TRIES = 4
_PAUSE_S = 1.0
_MAX_PAUSE_S = 60.0
_TRY_LATER = (429, 502, 503)
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
    config = house.assembly.config
    queue_s = config.overload.batch_wait_s
    wish = Wish("command", config.server.timeout_s, path, use_cache, queue_s=queue_s)

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
    if keys and is_hashed(keys[0]):
        raise ConfigError(
            "CLASSIFIER_API_KEYS begins with a hash; a caller needs the key itself, put it first"
        )
    headers |= {"Authorization": f"Bearer {keys[0]}"} if keys else {}
    params = ({"path": path} if path else {}) | ({} if use_cache else {"cache": "off"})
    limits = httpx2.Limits(max_connections=None, keepalive_expiry=60)
    base_url = _checked(url)
    async with httpx2.AsyncClient(
        base_url=base_url, headers=headers, params=params, timeout=60, limits=limits,
        trust_env=not is_loopback(base_url.host),  # no proxy leads to this machine
    ) as client:  # fmt: skip

        async def ask(ticket: Ticket) -> Answered | Problem:
            body = msgspec.json.encode(ticket)
            found, pause_s = await _post(client, body)
            for _ in range(_TRIES - 1):
                if pause_s is None:
                    break
                await asyncio.sleep(pause_s)
                found, pause_s = await _post(client, body)
            return found

        yield ask


def _checked(url: str) -> httpx2.URL:
    try:
        found = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"--service {url}: {error}") from error
    if found.scheme not in ("http", "https") or not found.host:
        raise ConfigError(f"--service {url}: write http://HOST:PORT")
    return found


async def _post(client: httpx2.AsyncClient, body: bytes) -> tuple[Answered | Problem, float | None]:
    """What the service says, and after how many seconds to ask again, where that may help."""
    try:
        response = await client.post("/classify", content=body)
    except httpx2.HTTPError as error:
        detail = f"no answer from {client.base_url} ({type(error).__name__}); does the service run?"
        return Problem("urn:classifier:problem:no-answer", "No answer", 0, detail), _PAUSE_S
    try:
        if response.status_code == httpx2.codes.OK:
            return _answer(response.content), None
        found = _problem(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = _not_ours(response)
    return found, _pause_s(response)


def _not_ours(response: httpx2.Response) -> Problem:
    """A proxy in between, or another server altogether."""
    status = response.status_code
    detail = f"{response.url.copy_with(query=None)} answered {status}, but not as this service does"
    return Problem("urn:classifier:problem:not-ours", "Not this service", status, detail)


def _pause_s(response: httpx2.Response) -> float | None:
    if response.status_code not in _TRY_LATER:
        return None
    try:
        asked = float(response.headers.get("retry-after", ""))
    except ValueError:
        return _PAUSE_S
    return min(max(asked, 0.0), _MAX_PAUSE_S) if math.isfinite(asked) else _PAUSE_S
