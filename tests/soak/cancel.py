"""Calls that nobody waits for any more: clients that hang up, attempts and look-ups cut short.

Whoever stays must get the answer to the own question, and nothing may be left of those who left.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from classifier.paths.path import Path as ModelPath
from tests.soak.house import House
from tests.support.cancelling import CONNECTIONS, storm
from tests.support.checker import answer_errors, leaks, money_errors
from tests.support.parts import endpoint, path
from tests.support.raw import connected, request
from tests.support.redis_server import RedisServer
from tests.support.upstream import Call, Scripted, Upstream, completion, served
from tests.support.waiting import eventually

_AT_ONCE = 32
_CHUNK = 2_000
_STAY = 0.2
_LABELS = ("billing", "login", "other")
Say = Callable[[str], None]


class Cut(NamedTuple):
    """How many were cut short, how many stayed, and what must not have happened."""

    what: str
    cancelled: int
    answered: int
    errors: tuple[str, ...]


async def hang_ups(house: House, count: int, seed: int, say: Say = print) -> Cut:
    """`count` clients send a ticket and are gone within 20 ms; one more in ten waits for the answer."""
    before = await house.books()
    house.told.clear()
    await house.lags_s()
    random = Random(seed)

    async def one(number: int) -> bool:
        if number % 11 == 0:
            await house.ask(known=random.choice((None, 1, 2)))
            return False
        await _hang_up(house, number, random)
        return True

    cancelled = await _many(one, count + count // 10, "clients that hang up", say)
    lag_s = await house.lags_s()
    after = await house.books()
    errors = [*answer_errors(house.told, lag_s), *leaks(before, after, 3 * _AT_ONCE)]
    errors.extend(money_errors(before, after))
    answered = len(house.told)
    house.told.clear()
    return Cut("clients that hang up", cancelled, answered, tuple(errors))


async def _hang_up(house: House, number: int, random: Random) -> None:
    about = random.choice((number, 1))  # one that nobody asked, or one that many ask
    body = json.dumps({"body": f"I was charged twice, gone {about}"}).encode()
    async with connected(house.port) as connection:
        sent = request("/classify", body, b"Content-Type: application/json")
        await connection.send(sent[: random.choice((len(sent), len(sent) - 1))])
        await asyncio.sleep(random.uniform(0.0, 0.02))
        connection.hang_up()


async def cut_attempts(count: int, seed: int, say: Say = print) -> Cut:
    """Attempts on a model behind a real client, cancelled at any moment of the exchange."""
    upstream, random = Upstream(), Random(seed)
    upstream.respond = _by_number

    async with (
        served(upstream, upstream.port),
        endpoint(upstream.url, max_connections=_AT_ONCE) as server,
    ):
        asked = path("short", server)
        errors: list[str] = []

        async def one(number: int) -> bool:
            upstream.calls.clear()
            return await _cut_attempt(asked, number, random, errors)

        before = asyncio.all_tasks()
        cancelled = await _many(one, count, "attempts cut short", say)
        await asyncio.gather(*(_cut_attempt(asked, n, None, errors) for n in range(_AT_ONCE)))
        await _nothing_left(before, errors, beside=_AT_ONCE)
    return Cut("attempts cut short", cancelled, count - cancelled, tuple(errors))


async def _by_number(call: Call) -> Scripted:
    number = int(call.ticket.rpartition("#")[2].split()[0].strip("."))
    await asyncio.sleep(number % 7 / 1_000)
    return Scripted(completion(_LABELS[number % 3]))


async def _cut_attempt(
    asked: ModelPath, number: int, random: Random | None, errors: list[str]
) -> bool:
    task = asyncio.create_task(asked.ask(f"ticket #{number} .", 20.0, "answer"))
    if random is not None and await _cancelled(task, random):
        return True
    attempt = await task
    came = (
        attempt.label is not None or random is None
    )  # in the storm a connection may take too long
    if came and attempt.label != _LABELS[number % 3]:
        errors.append(f"#{number}: {attempt.label} ({attempt.outcome})")
    return False


async def cut_look_ups(folder: Path, count: int, seed: int) -> Cut:
    """Look-ups in a real Redis: no connection may be handed on with another's reply in it."""
    server = RedisServer(folder)
    server.start()
    try:
        found = await storm(server, count, seed)
    finally:
        server.stop()
    wrongs = {
        "wrong values": found.wrong,
        "values lost": found.lost,
        "tasks left": found.tasks_left,
        "connections too many": max(0, found.connections - CONNECTIONS),
    }
    errors = tuple(f"{number} {what}" for what, number in wrongs.items() if number)
    return Cut("look-ups cut short", found.cancelled, found.answered, errors)


async def _cancelled(task: asyncio.Task[Any], random: Random, within_s: float = 0.01) -> bool:
    """Cancels it after a moment; false when it was quicker, or one of those who stay."""
    if random.random() < _STAY:
        return False
    await asyncio.sleep(random.uniform(0.0, within_s))
    if not task.cancel():
        return False
    await asyncio.wait([task])
    return task.cancelled()


async def _many(one: Callable[[int], Awaitable[bool]], count: int, what: str, say: Say) -> int:
    """`one` for every number, side by side; how many of them were cut."""
    gate, cut = asyncio.Semaphore(_AT_ONCE), 0

    async def gated(number: int) -> bool:
        async with gate:
            return await one(number)

    for start in range(0, count, _CHUNK):
        numbers = range(start, min(count, start + _CHUNK))
        cut += sum(await asyncio.gather(*map(gated, numbers)))
        say(f"soak: {what}: {numbers[-1] + 1:,} of {count:,}, {cut:,} cut")
    return cut


async def _nothing_left(before: set[asyncio.Task[Any]], errors: list[str], beside: int = 0) -> None:
    """`beside`: tasks that a server in this loop may keep for its open connections."""

    def left() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() - before if not task.done()}

    try:
        await eventually(lambda: len(left()) <= beside)
    except AssertionError:
        errors.append(f"left behind: {sorted(str(task.get_coro()) for task in left())[:5]}")
