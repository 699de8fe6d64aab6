"""A storm of look-ups that are given up at any moment: what CVE-2023-28858 was about.

A connection that is handed on in the middle of a reply would give the next look-up another's value.
"""

from __future__ import annotations

import asyncio
import random

from msgspec import Struct, structs

from classifier.cache.connection import connect
from classifier.cache.redis import RedisCache
from classifier.records import Answer
from tests.support.parts import ANSWER, Remembering, cache_config
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

CONNECTIONS = 4
KEYS = 50
AT_ONCE = 100


class Storm(Struct):
    """What came of it. `connections`: at the server, when it was over."""

    cancelled: int = 0
    answered: int = 0
    wrong: int = 0
    lost: int = 0
    connections: int = 0
    tasks_left: int = 0


async def storm(server: RedisServer, cancels: int, seed: int) -> Storm:
    """Look-ups and claims through four connections; `cancels` of them are cancelled on their way."""
    limits = cache_config(
        redis_connections=CONNECTIONS, redis_timeout_s=1.0, breaker_failures=1_000_000
    )
    before = len(asyncio.all_tasks())
    cache = RedisCache(connect(server.url, limits), limits, Remembering())
    await cache.start()
    answers = {f"key{n}": structs.replace(ANSWER, model=f"key{n}") for n in range(KEYS)}
    for key, answer in answers.items():
        cache.put(key, answer)
    await eventually(lambda: server.command("DBSIZE") == b":%d\r\n" % KEYS, within_s=15.0)
    found = Storm()
    randomly = random.Random(seed)
    while found.cancelled < cancels:
        await _gust(cache, answers, randomly, found)
    for key, answer in answers.items():
        found.lost += await cache.get(key) != answer
    found.connections = server.command("CLIENT", "LIST", "TYPE", "normal").count(b"id=") - 1
    await cache.aclose()
    await asyncio.sleep(0)
    found.tasks_left = len(asyncio.all_tasks()) - before
    return found


async def _gust(
    cache: RedisCache, answers: dict[str, Answer], randomly: random.Random, found: Storm
) -> None:
    keys = randomly.choices(list(answers), k=AT_ONCE)
    tasks = {asyncio.create_task(cache.claim(key, 0.0)): key for key in keys}
    for _ in range(randomly.randrange(12)):
        await asyncio.sleep(0)
    for task in randomly.sample(list(tasks), AT_ONCE * 6 // 10):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task, key in tasks.items():
        if task.cancelled():
            found.cancelled += 1
        else:
            found.answered += 1
            found.wrong += task.result().answer not in (answers[key], None)
