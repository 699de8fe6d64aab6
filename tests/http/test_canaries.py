"""Tickets full of unique tokens, through everything that can happen: found nowhere but in the models.

`python3 dev test tests/http/test_canaries.py --long` sends 10,000.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from tests.support.house import edited, trusting, write_config
from tests.support.process import ServiceProcess, serving
from tests.support.redis_server import RedisServer
from tests.support.upstream import NEVER, Call, Scripted, Upstream, completion
from tests.support.waiting import eventually

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
AT_ONCE = 20
BATCH = 50
MORE = """
[cache]
memory_entries = 50
redis_timeout_s = 0.5
breaker_probe_s = 0.1
"""


class Canaries:
    """Makes tokens that nobody else makes, and finds them again, also without what stood around them."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.tokens: set[str] = set()

    def token(self) -> str:
        token = self._rng.randbytes(8).hex()
        self.tokens.add(token)
        return f"canary-{token}"

    def ticket(self) -> dict[str, Any]:
        """One in every field that a caller fills; a few hide behind what is cleaned off."""
        return {
            "id": self.token(),
            "subject": f"my {self.token()}\u202e",
            "body": f"I lost {self.token()}\u200b and {self.token()}",
            "language": self.token(),
            "channel": self.token(),
            "tags": [self.token(), self.token()],
            "metadata": {self.token(): self.token(), "order": self.token()},
        }

    def found_in(self, text: str) -> set[str]:
        low = text.lower()
        return self.tokens.intersection(re.findall("(?=([0-9a-f]{16}))", low))


async def _echo(call: Call) -> Scripted:
    """A model server that says everything back, in answers and in errors."""
    said, chosen = call.ticket, len(call.ticket.encode()) + sum(call.ticket.encode()[-9:])
    scripts = [
        *(Scripted(completion("billing")) for _ in range(6)),
        Scripted(completion(f"the label of {said}")),
        Scripted(completion(None, choices=[{"message": {"refusal": said}}])),
        Scripted({"error": {"message": said, "code": said, "type": said}}, 400),
        Scripted({"error": said}, 429, {"retry-after": said[-9:], "retry-after-ms": "0"}),
        Scripted({"detail": said}, 500),
        Scripted(said.encode() * 2),
        Scripted(json.dumps({"choices": said, "usage": said}).encode()),
    ]
    return scripts[chosen % len(scripts)]


async def _echo_for_good(call: Call) -> Scripted:
    """What shuts a path at once, with the ticket in it; or no word at all."""
    said, chosen = call.ticket, sum(call.ticket.encode()) % 3
    if chosen == 0:
        return NEVER
    if chosen == 1:
        return Scripted({"error": {"message": said}}, 401, {"x-request-id": said[-16:]})
    return Scripted({"error": {"message": said, "code": "insufficient_quota"}}, 429)


def _spoilt(ticket: dict[str, Any], n: int) -> bytes:
    """The ticket's bytes, broken in one of many ways."""
    whole = json.dumps(ticket).encode()
    ways = (
        whole[:-1],
        whole.replace(b"lost", b"\xff"),
        json.dumps({**ticket, "tags": ticket["body"]}).encode(),
        json.dumps({**ticket, "body": [ticket["body"]]}).encode(),
        json.dumps({**ticket, "id": ticket["id"] * 20}).encode(),
        json.dumps({**ticket, "metadata": {ticket["id"]: [ticket["body"]]}}).encode(),
        json.dumps({**ticket, "language": ticket["language"] * 9}).encode(),
        json.dumps(ticket["body"]).encode(),
        json.dumps({**ticket, ticket["id"]: 1}).encode(),
        b"[" * 2_000 + whole,
        whole + whole,
        json.dumps({**ticket, "body": ticket["body"] * 6_000}).encode(),
        b"\xef\xbb\xbf" + whole,
        whole.replace(b'"I lost', b'"\\ud800'),
    )
    return ways[n % len(ways)]


class Sender:
    """Sends tickets in all ways; keeps what must hold no token."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._numbers = count()
        self.statuses: set[int] = set()
        self.shown: list[str] = []

    async def singles(self, tickets: list[dict[str, Any]]) -> None:
        for start in range(0, len(tickets), AT_ONCE):
            some = tickets[start : start + AT_ONCE]
            await asyncio.gather(*(self._single(one, next(self._numbers)) for one in some))

    async def _single(self, ticket: dict[str, Any], n: int) -> None:
        whole = n % 5 != 0
        content = json.dumps(ticket).encode() if whole else _spoilt(ticket, n // 5)
        headers, params = dict(JSON), {}
        if n % 7 == 1:
            params = {"path": "long", "cache": "off"}
        if n % 11 == 1:
            headers["X-Timeout-Ms"] = "2"
        if n % 31 == 1:
            headers["Content-Type"] = "text/plain"
        answer = await self._client.post(
            "/classify", content=content, headers=headers, params=params
        )
        self.statuses.add(answer.status_code)
        # An answer names the ticket by its own id, and by nothing else of it.
        self.shown.append(answer.text.replace(f'"id":"{ticket["id"]}"', ""))
        self.shown.append(str(answer.headers))

    async def batches(self, tickets: list[dict[str, Any]]) -> None:
        for start in range(0, len(tickets), BATCH):
            some = tickets[start : start + BATCH]
            lines = [
                _spoilt(t, n) if n % 3 == 0 else json.dumps(t).encode() for n, t in enumerate(some)
            ]
            answer = await self._client.post(
                "/classify/batch", content=b"\n".join(lines), headers=NDJSON
            )
            text = answer.text
            for ticket in some:
                text = text.replace(f'"id":"{ticket["id"]}"', "")
            self.shown.append(text)

    async def pages(self) -> None:
        for target in ("/metrics", "/readyz", "/healthz", "/console/state", "/schema/openapi.json"):
            self.shown.append((await self._client.get(target)).text)


def _dump(url: str) -> str:
    """Every key and every value of a Redis, and what it tells of its commands."""
    with redis.Redis.from_url(url) as client:
        keys = list(client.scan_iter(count=1_000))
        kept = [repr(key) + repr(client.dump(key)) + repr(_value(client, key)) for key in keys]
        told = [client.slowlog_get(1_000), client.info("everything")]
    return "\n".join([*kept, *map(repr, told)])


def _value(client: redis.Redis, key: bytes) -> object:
    kind = client.type(key)
    return client.get(key) if kind == b"string" else kind


async def _break_config(process: ServiceProcess, config: Path) -> None:
    """A reload that fails and one that works, while tickets are under way."""
    refused, reloaded = (len(process.events(f"config.{name}")) for name in ("refused", "reloaded"))
    edited(config, 'auth = "none"', 'auht = "none"')
    await eventually(_more_than(process, "config.refused", refused), within_s=10)
    edited(config, 'auht = "none"', 'auth = "none"')
    edited(config, "redis_timeout_s = 0.5", "redis_timeout_s = 0.4")
    await eventually(_more_than(process, "config.reloaded", reloaded), within_s=10)


def _more_than(process: ServiceProcess, name: str, count: int) -> Any:
    async def more() -> bool:
        return len(process.events(name)) > count

    return more


async def _everything(
    process: ServiceProcess,
    config: Path,
    server: RedisServer,
    tickets: list[dict[str, Any]],
    shut: Callable[[], None],
) -> Sender:
    """Four quarters: single tickets, batches, Redis away, the config broken and mended; then `shut`."""
    sender, quarter = Sender(process.client), len(tickets) // 4
    await sender.singles(tickets[:quarter])
    await sender.batches(tickets[quarter : 2 * quarter])
    sender.shown.append(_dump(server.url))
    assert "classifier:" in sender.shown[-1], "nothing was cached: there was nothing to be found"
    server.kill()
    await sender.singles(tickets[2 * quarter : 3 * quarter])
    server.start()
    rest = sender.singles(tickets[3 * quarter :])
    await asyncio.gather(_break_config(process, config), rest)
    await sender.pages()
    shut()
    await sender.singles(tickets[:AT_ONCE])
    await sender.pages()
    assert await process.stop() == 0  # also writes what was still to be cached
    sender.shown += [_dump(server.url), process.stderr()]
    return sender


async def test_tokens_of_tickets_are_found_nowhere(
    tmp_path: Path,
    short_model: Upstream,
    long_model: Upstream,
    redis_server: RedisServer,
    pytestconfig: pytest.Config,
) -> None:
    """Answers, errors, batches, refusals, timeouts, Redis away, broken config, debug log: no token leaves."""
    canaries = Canaries(7)
    many = 10_000 if pytestconfig.getoption("--long") else 200
    tickets = [canaries.ticket() for _ in range(many)]
    short_model.respond = long_model.respond = _echo
    config = trusting(write_config(tmp_path, short_model.url, long_model.url, MORE))
    environ = {
        "CLASSIFIER_LOG_LEVEL": "debug",
        "CLASSIFIER_REDIS_URL": redis_server.url,
        "CLASSIFIER_CACHE_SECRET": "a secret of the tests' own",
    }

    def shut() -> None:
        short_model.respond = long_model.respond = _echo_for_good

    async with serving(config, tmp_path, environ) as process:
        sender = await _everything(process, config, redis_server, tickets, shut)
    assert sender.statuses >= {200, 400, 413, 415, 422, 503, 504}
    assert len(process.events("ticket.classified")) > len(tickets) // 20
    assert len(process.events("ticket.failed")) > len(tickets) // 20
    assert {
        hit: text[max(0, text.lower().find(hit) - 200) :][:400]
        for text in sender.shown
        for hit in canaries.found_in(text)
    } == {}
    assert [text for text in sender.shown if "canary" in text] == []
    asked = "".join(call.ticket for call in [*short_model.calls, *long_model.calls])
    # The tokens were there to be found: whole, and with what was hidden beside them cleaned off.
    assert len(canaries.found_in(asked)) > len(tickets) // 4
    assert not {"\u202e", "\u200b"} & set(asked)
