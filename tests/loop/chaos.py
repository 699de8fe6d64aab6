"""Chaos for the loop: signed webhooks while everything dies, then a count of what can be seen.

`.venv/bin/python -m tests.loop.chaos --store redis --tickets 5000 --kills 10 --seeds 20`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import httpx2
from msgspec import structs

from classifier.config.inbox import Inbox as InboxConfig
from classifier.helpdesks.port import Delivery
from classifier.inbox.queues import Away, DeadLetter, Depth, Queues
from classifier.inbox.sqlite import SqliteQueues
from classifier.inbox.streams import RedisQueues
from classifier.loop.running import limits_of
from tests.helpdesks.cases import CASES, SECRET, desk_of
from tests.support.helpdesk.server import ApiCall, FakeHelpdesk, Fault
from tests.support.house import write_config
from tests.support.parts import cache_config
from tests.support.redis_server import RedisServer, free_port
from tests.support.upstream import Call, Scripted, Upstream, completion, served

Store = Literal["file", "redis"]
CASE = CASES["zendesk"]
CONFIG = """
[inbox]
lease_s = 2.0
longest_pause_s = 1.0
tries = 1000
at_once = 16
[[helpdesks]]
name = "zendesk"
vendor = "zendesk"
secret_env = ["HOOK_SECRET"]
base_url = "{url}"
user = "classifier"
own_user_id = "7009"
key_env = "API_KEY"
call_timeout_s = 1.0
writes_per_minute = 60000
share = 1.0
reconcile = false
[helpdesks.actions]
unknown_confidence = "write"
[helpdesks.actions.tag]
[helpdesks.actions.note]
"""
_HELPDESK_FAULTS: tuple[Fault, ...] = ("429", "500", "hang", "drop", "applied_500")
_QUIET_S = 120.0


class Wish(NamedTuple):
    """One run. `failures`: the share of model and helpdesk calls that fail."""

    seed: int
    store: Store
    tickets: int = 150
    per_s: float = 60.0
    kills: int = 2
    redis_kills: int = 1
    redis_hangs: int = 1
    failures: float = 0.3


class Seen(NamedTuple):
    """What can be counted when all is quiet."""

    accepted: int
    lost: list[str]
    doubled: dict[str, list[tuple[str, str]]]
    dead: list[DeadLetter]
    ages_s: list[float]
    recoveries_s: list[float]
    answers: Counter[int]

    @property
    def holds(self) -> bool:
        return not self.lost and not self.doubled and not self.dead

    def line(self) -> str:
        """One line for a table."""
        ages, back = sorted(self.ages_s), sorted(self.recoveries_s)
        p99 = ages[int(0.99 * (len(ages) - 1))] if ages else 0.0
        return (
            f"{self.accepted} accepted, {len(self.lost)} lost, {len(self.doubled)} doubled, "
            f"{len(self.dead)} dead; age p50 {ages[len(ages) // 2]:.1f} s, p99 {p99:.1f} s; "
            f"slowest recovery {back[-1] if back else 0.0:.1f} s; answers {dict(self.answers)}"
        )


class Chaos:
    """One service process, its queues' store, a model, a helpdesk, senders and a killer."""

    def __init__(self, wish: Wish, folder: Path) -> None:
        self.wish = wish
        self.folder = folder
        self.random = random.Random(wish.seed)
        self.port = free_port()
        self.model = Upstream()
        self.fake = FakeHelpdesk(CASE.dialect())
        self.redis = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
        self.process: subprocess.Popen[bytes] | None = None
        self.accepted_at: dict[str, float] = {}
        self.written_at: dict[str, float] = {}
        self.recoveries_s: list[float] = []
        self.answers: Counter[int] = Counter()

    async def run(self) -> Seen:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(served(self.model, self.model.port))
            await stack.enter_async_context(self.fake.open())
            if self.wish.store == "redis":
                await asyncio.to_thread(self.redis.start)
                stack.callback(self.redis.stop)
            self.model.respond = self._respond
            self.fake.plan = self._fault
            stack.callback(self._kill)
            await self._start()
            watching = asyncio.create_task(self._watch())
            await asyncio.gather(self._send_all(), self._kill_now_and_then())
            await self._until_quiet()
            watching.cancel()
            return await self._count()

    # ----------------------------------------------------------------------------- the world

    async def _respond(self, call: Call) -> Scripted:
        if self.random.random() < self.wish.failures:
            return Scripted({"error": {"message": "on purpose"}}, 500)
        return Scripted(completion("billing"))

    def _fault(self, call: ApiCall) -> Fault | None:
        if self.random.random() < self.wish.failures:
            return self.random.choice(_HELPDESK_FAULTS)
        return None

    async def _start(self) -> None:
        config = write_config(
            self.folder, self.model.url, self.model.url, CONFIG.format(url=self.fake.url)
        )
        foreign = {k: v for k, v in os.environ.items() if not k.startswith("CLASSIFIER_")}
        environ = {
            **foreign, "CLASSIFIER_CONFIG": str(config), "CLASSIFIER_PORT": str(self.port),
            "CLASSIFIER_DATA_DIR": str(self.folder / "data"), "HOOK_SECRET": SECRET,
            "API_KEY": CASE.key, "CLASSIFIER_DRAIN_S": "0",
        }  # fmt: skip
        if self.wish.store == "redis":
            environ["CLASSIFIER_INBOX_REDIS_URL"] = self.redis.url
        with (self.folder / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 -- it is killed by its id
                [sys.executable, "-m", "classifier", "serve"], env=environ, stderr=log
            )
        async with httpx2.AsyncClient() as client:
            while True:
                with suppress(httpx2.HTTPError):
                    await client.get(f"http://127.0.0.1:{self.port}/healthz")
                    return
                assert self.process.poll() is None, (self.folder / "stderr.log").read_text()
                await asyncio.sleep(0.05)

    def _kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    async def _kill_now_and_then(self) -> None:
        """Process kills, Redis kills and hangs in a random order, over the time of the sending."""
        wish = self.wish
        deeds = [self._restart] * wish.kills
        if wish.store == "redis":
            deeds += [self._restart_redis] * wish.redis_kills + [self._hang] * wish.redis_hangs
        self.random.shuffle(deeds)
        pause_s = wish.tickets / wish.per_s / (len(deeds) + 1)
        for deed in deeds:
            await asyncio.sleep(pause_s * self.random.uniform(0.5, 1.0))
            began, before = time.monotonic(), len(self.written_at)
            await deed()
            while len(self.written_at) == before and time.monotonic() < began + 60:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # the fake helpdesk keeps changes, it tells nobody
            self.recoveries_s.append(time.monotonic() - began)

    async def _restart(self) -> None:
        self._kill()
        await self._start()

    async def _restart_redis(self) -> None:
        self.redis.kill()
        await asyncio.sleep(self.random.uniform(0.2, 1.0))
        await asyncio.to_thread(self.redis.start)

    async def _hang(self) -> None:
        self.redis.pause()
        await asyncio.sleep(self.random.uniform(0.5, 2.0))
        self.redis.resume()

    # --------------------------------------------------------------------------- the senders

    async def _send_all(self) -> None:
        desk = desk_of(CASE, self.fake.url)
        sample = desk.sample(f"http://127.0.0.1:{self.port}/webhooks/zendesk", time.time())
        parsed = desk.parse(sample)
        assert isinstance(parsed, tuple)
        began = time.monotonic()
        limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
        async with (
            httpx2.AsyncClient(timeout=10, limits=limits) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(self.wish.tickets):
                await asyncio.sleep(began + number / self.wish.per_s - time.monotonic())
                ticket_id = str(100_000 + number)
                self.fake.ticket(ticket_id)
                body = sample.body.replace(parsed[0].ticket_id.encode(), ticket_id.encode())
                body = body.replace(parsed[0].key.encode(), f"event-{number}".encode())
                signed = desk.sign(body, sample.url, time.time(), SECRET.encode())
                delivery = structs.replace(sample, body=body, headers={**sample.headers, **signed})
                group.create_task(self._send(client, ticket_id, delivery))
        await desk.aclose()

    async def _send(self, client: httpx2.AsyncClient, ticket_id: str, delivery: Delivery) -> None:
        """As a vendor does: again until it is accepted, and now and then once more after that."""
        again = self.random.random() < 0.05
        while True:
            with suppress(httpx2.HTTPError):
                answer = await client.post(
                    delivery.url, content=delivery.body, headers=delivery.headers
                )
                self.answers[answer.status_code] += 1
                if answer.is_success:
                    self.accepted_at.setdefault(ticket_id, time.monotonic())
                    if not again:
                        return
                    again = False
            await asyncio.sleep(self.random.uniform(0.1, 0.4))

    # --------------------------------------------------------------------------- the checker

    async def _watch(self) -> None:
        """When each ticket was written to, to within some milliseconds."""
        read = 0
        while True:
            changes = self.fake.store.changes
            for change in changes[read:]:
                self.written_at[change.ticket_id] = time.monotonic()
            read = len(changes)
            await asyncio.sleep(0.02)

    def _queues(self) -> Queues:
        limits = limits_of(InboxConfig())
        if self.wish.store == "file":
            return SqliteQueues(self.folder / "data" / "queues.sqlite", limits)
        from classifier.cache.connection import connect  # noqa: PLC0415

        client = connect(self.redis.url, cache_config(redis_timeout_s=1.0, redis_connections=2))
        return RedisQueues(client, limits)

    async def _until_quiet(self) -> None:
        queues = self._queues()
        await queues.open()
        deadline = time.monotonic() + _QUIET_S
        try:
            while not await self._is_quiet(queues):
                assert time.monotonic() < deadline, "work was left when time was up"
                await asyncio.sleep(0.2)
        finally:
            await queues.aclose()

    async def _is_quiet(self, queues: Queues) -> bool:
        try:
            depths: list[Depth] = [await queues.depth(queue) for queue in ("inbox", "outbox")]
        except Away:
            return False
        return all(depth.waiting == depth.claimed == 0 for depth in depths)

    async def _count(self) -> Seen:
        store = self.fake.store
        seen = {ticket_id: store.seen(ticket_id) for ticket_id in self.accepted_at}
        kinds = {ticket_id: sorted(what for what, _ in each) for ticket_id, each in seen.items()}
        queues = self._queues()
        await queues.open()
        dead = [
            letter for queue in ("inbox", "outbox") for letter in await queues.dead_letters(queue)
        ]
        await queues.aclose()
        ages = [
            self.written_at[ticket_id] - at
            for ticket_id, at in self.accepted_at.items()
            if ticket_id in self.written_at
        ]
        return Seen(
            accepted=len(self.accepted_at),
            lost=[ticket_id for ticket_id, found in kinds.items() if len(set(found)) < 2],
            doubled={
                ticket_id: seen[ticket_id] for ticket_id, found in kinds.items() if len(found) > 2
            },
            dead=dead,
            ages_s=ages,
            recoveries_s=self.recoveries_s,
            answers=self.answers,
        )


async def run(wish: Wish) -> Seen:
    """One run in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return await Chaos(wish, Path(folder)).run()


def main() -> int:
    """Exit code 1 when a run lost or doubled anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("file", "redis"), default="file")
    parser.add_argument("--tickets", type=int, default=5_000)
    parser.add_argument("--per-s", type=float, default=100.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="so many runs, from --seed on")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        wish = Wish(
            seed, options.store, options.tickets, options.per_s, options.kills, options.kills, 3
        )
        seen = asyncio.run(run(wish))
        failed += not seen.holds
        print(f"seed {seed}, {options.store}: {seen.line()}", flush=True)
        for ticket_id, changes in list(seen.doubled.items())[:5]:
            print(f"  doubled {ticket_id}: {changes}")
        for letter in seen.dead[:5]:
            print(f"  dead {letter}")
        if seen.lost:
            print(f"  lost {seen.lost[:10]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
