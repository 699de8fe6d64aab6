"""A service under a load that has everything in it, and the Prometheus that watched it."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from k8s.monitoring.drawing.asking import View
from tests.monitoring.parts import RULE_TESTS, RULES
from tests.monitoring.tickets import CASE, CONFIG, KEYS, Tickets
from tests.support.helpdesk.server import FakeHelpdesk
from tests.support.house import Service, service, write_config
from tests.support.prometheus import Prometheus
from tests.support.redis_server import RedisServer
from tests.support.upstream import Call, Scripted, Upstream, completion, served

LOAD_S = 7.0
MORE = """
budget_usd_per_day = 5

[budget]
usd_per_day = 5
paths = { long = 5 }

[paths.spare]
kind = "chat"
endpoint = "slow"
model = "unlisted"
prompt = "short.txt"

[[routes]]
name = "default"
path = "short"
escalate = { to = "long", below = 0.6 }
fallback = ["long"]
shadow = { path = "long", share = 1.0 }
"""
# What a ticket says decides what the models do with it.
KINDS = ("plain", "plain", "unsure", "nonsense", "odd", "broken", "broken hopeless", "free")


@dataclass(frozen=True)
class Watched:
    """What is left to look at: the Prometheus, the time range of the load, the last scrape's page."""

    prometheus: Prometheus
    view: View
    page: str


@pytest.fixture(scope="session", autouse=True)
def promtool() -> Iterator[dict[Path, subprocess.Popen[str]]]:
    """`promtool test rules` for all files, begun first: they run while the load does."""
    promtool = shutil.which("promtool")
    files = RULE_TESTS if promtool else []
    running = {
        file: subprocess.Popen(
            (str(promtool), "test", "rules", file.name), cwd=file.parent, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for file in files
    }  # fmt: skip
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The load is over, the Prometheus still answers."""
    folder = tmp_path_factory.mktemp("watched")
    prometheus = Prometheus(folder, [RULES / "*.yaml"])
    with httpx2.Client(timeout=30) as client:
        try:
            with ThreadPoolExecutor(1) as pool:  # a loop of its own beside pytest's
                yield pool.submit(asyncio.run, _watch(folder, prometheus, client)).result()
        finally:
            prometheus.stop()


async def _watch(folder: Path, prometheus: Prometheus, client: httpx2.Client) -> Watched:
    short, long = Upstream(), Upstream()
    short.respond, long.respond = _short, _long
    redis = RedisServer(folder)
    redis.start()
    fake = FakeHelpdesk(CASE.dialect())
    config = write_config(folder, short.url, long.url, MORE + CONFIG.format(url=fake.url))
    environ = {
        **KEYS,
        "CLASSIFIER_DATA_DIR": str(folder / "data"),
        "CLASSIFIER_REDIS_URL": redis.url,
        "CLASSIFIER_CACHE_SECRET": "of a test and long enough",
        "CLASSIFIER_LOG_LEVEL": "error",
    }
    try:
        async with (
            served(short, short.port),
            served(long, long.port),
            fake.open(),
            service(config, environ) as house,
        ):
            await asyncio.to_thread(prometheus.start, house.url)
            started = time.time()
            tickets = Tickets(fake, house)
            await asyncio.gather(
                _load(house),
                tickets.come(until=time.monotonic() + LOAD_S),
                _incidents(redis, config),
            )
            page = (await house.client.get("/metrics")).text
            await asyncio.sleep(1.2)  # one scrape more has seen it all
            ended = time.time()
    finally:
        redis.stop()
    return Watched(prometheus, View(client, prometheus.url, started, ended, scrape_s=1.0), page)


async def _load(house: Service) -> None:
    """Tickets of every kind, through both doors, repeated and at once, evenly over the time."""
    deadline, number = time.monotonic() + LOAD_S, 0
    while time.monotonic() < deadline:
        number += 1
        texts = [f"{kind} {number}" for kind in KINDS]
        lines = "\n".join(f'{{"body": "plain batch {number} {n}"}}' for n in range(2))
        await asyncio.gather(
            *(house.classify(text) for text in texts),
            house.classify("plain again"),
            house.classify(f"plain twin {number}"),
            house.classify(f"plain twin {number}"),
            house.client.get("/nothing-here"),
            house.client.get("/readyz"),
            house.client.post(
                "/classify/batch", content=lines, headers={"Content-Type": "application/x-ndjson"}
            ),
        )
        await asyncio.sleep(0.25)


async def _incidents(redis: RedisServer, config: Path) -> None:
    """Redis goes away and comes back; the config is edited."""
    await asyncio.sleep(LOAD_S * 0.2)
    edited = config.read_text() + "\n# edited\n"  # noqa: ASYNC240 -- a few lines
    config.write_text(edited)  # noqa: ASYNC240
    await asyncio.sleep(LOAD_S * 0.3)
    redis.kill()
    await asyncio.sleep(LOAD_S * 0.2)
    await asyncio.to_thread(redis.start)


async def _short(call: Call) -> Scripted:
    await asyncio.sleep(random.uniform(0.002, 0.02))
    if "broken" in call.ticket:
        return Scripted({"error": {"message": "planted"}}, 500)
    label, sure = "billing", -0.01
    if "unsure" in call.ticket:
        sure = -1.5
    if "nonsense" in call.ticket:
        label = "I would rather not say"
    if "odd" in call.ticket:
        label = "other"
    body = completion(label)
    body["choices"][0]["logprobs"]["content"][0]["logprob"] = sure
    return Scripted(body, headers={"openai-processing-ms": "3", "x-simulated": "1"})


async def _long(call: Call) -> Scripted:
    await asyncio.sleep(random.uniform(0.01, 0.06))
    if "hopeless" in call.ticket:
        return Scripted({"error": {"message": "planted"}}, 503)
    if "nonsense" in call.ticket:
        return Scripted(completion("login"))
    if "free" in call.ticket:
        return Scripted(completion("billing", usage=None))
    return Scripted(completion("billing"), headers={"openai-processing-ms": "9"})
