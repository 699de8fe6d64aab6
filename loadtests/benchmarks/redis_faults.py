"""What a broken Redis costs the tickets: `python -m loadtests.benchmarks.redis_faults`.

Eight faults, planted through a proxy or in the server itself while unique tickets go through the
service one after another. Each fault has quiet stretches before and after it, so that the machine's
moods hit both. Failed look-ups are the service's own count; times are the client's, with a model
server that answers at once. On one machine, no real model. Exit code 1 when the promise is broken:
an answer other than 200, more than five failed look-ups, or more than 5 ms added at the p99 of the
tickets after them.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from loadtests.benchmarks.overhead import ask
from loadtests.benchmarks.replicas import metrics_page, model, ready, say, served
from tests.support.proxy import FaultProxy, proxied
from tests.support.redis_server import RedisServer

ROUNDS = 2
STRETCH_S = 2.5
ALLOWED = 5
LIMIT_S = 0.005
Act = Callable[[RedisServer, FaultProxy], Awaitable[object]]


class Stretch(NamedTuple):
    """Tickets of a while: seconds each, and look-ups in Redis that failed."""

    times: list[float]
    failed: int


def _mode(mode: str) -> Act:
    return lambda _, proxy: proxy.set(mode)  # type: ignore[arg-type]  # one of its modes


def _does(*actions: Callable[[RedisServer], object]) -> Act:
    async def act(server: RedisServer, _: FaultProxy) -> None:
        for action in actions:
            await asyncio.to_thread(action, server)

    return act


def _says(*words: str) -> Act:
    return _does(lambda server: server.command(*words))


async def _load(server: RedisServer, _: FaultProxy) -> None:
    server.command("DEBUG", "POPULATE", "5000")
    server.command("CONFIG", "SET", "key-load-delay", "1000")
    _LOADING.append(asyncio.create_task(asyncio.to_thread(server.command, "DEBUG", "RELOAD")))


async def _loaded(_: RedisServer, __: FaultProxy) -> None:
    await asyncio.gather(*_LOADING, return_exceptions=True)
    _LOADING.clear()


_LOADING: list[asyncio.Task[bytes]] = []
FAULTS: dict[str, tuple[Act, Act]] = {
    "connections refused": (_mode("refuse"), _mode("pass")),
    "connections reset": (_mode("reset"), _mode("pass")),
    "no answer comes": (_mode("blackhole"), _mode("pass")),
    "the process hangs": (_does(RedisServer.pause), _does(RedisServer.resume)),
    "loading its data": (_load, _loaded),
    "read-only replica": (_says("REPLICAOF", "127.0.0.1", "1"), _says("REPLICAOF", "NO", "ONE")),
    "full": (_says("CONFIG", "SET", "maxmemory", "1"), _says("CONFIG", "SET", "maxmemory", "0")),
    "killed and restarted": (_does(RedisServer.kill), _does(RedisServer.start)),
}


async def stretch(port: int, begin: Callable[[], Awaitable[object]] | None = None) -> Stretch:
    """Unique tickets for a while; the fault comes after a tenth of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    before = await _failed(port)
    started, times = perf_counter(), list[float]()
    while (now := perf_counter()) < started + STRETCH_S:
        if begin is not None and now > started + STRETCH_S / 10:
            await begin()
            begin = None
        times.append(await ask(reader, writer, hit=False))  # raises for anything but a 200
        await asyncio.sleep(0.002)
    writer.close()
    return Stretch(times, await _failed(port) - before)


async def _failed(port: int) -> int:
    page = await asyncio.to_thread(metrics_page, port)
    wanted = [
        f'classifier_cache_operations_total{{operation="get",outcome="{outcome}",tier="redis"}}'
        for outcome in ("timeout", "error")
    ]
    lines = [line.rsplit(" ", 1) for line in page.decode().splitlines()]
    return int(sum(float(value) for name, value in lines if name in wanted))


def p99(times: list[float]) -> float:
    """Nearest rank."""
    return sorted(times)[max(0, -(-len(times) * 99 // 100) - 1)]


async def measure(port: int, server: RedisServer, proxy: FaultProxy, name: str) -> bool:
    """One fault in several rounds; prints its row, and returns whether the promise held."""
    begin, end = FAULTS[name]
    failed, added, middle, worst = [], [], [], []
    for _ in range(ROUNDS):
        quiet = await stretch(port)
        broken = await stretch(port, lambda: begin(server, proxy))
        await end(server, proxy)
        await _back(port)
        quiet_again = await stretch(port)
        rest = sorted(broken.times)[: len(broken.times) - broken.failed]
        quiet_times = quiet.times + quiet_again.times
        added.append(p99(rest) - p99(quiet_times))
        middle.append(statistics.median(rest) - statistics.median(quiet_times))
        failed.append(broken.failed)
        worst.append(max(broken.times))
    added_s = statistics.median(added)
    row = [name, max(failed), f"{1e3 * max(worst):.0f} ms"]
    row += [f"{1e3 * statistics.median(middle):+.2f} ms", f"{1e3 * added_s:+.2f} ms"]
    say(f"| {' | '.join(map(str, row))} |")
    return max(failed) <= ALLOWED and added_s <= LIMIT_S


async def _back(port: int) -> None:
    """Waits until Redis is in use again."""
    for _ in range(300):
        page = await asyncio.to_thread(metrics_page, port)
        if b"classifier_cache_redis_away 0.0" in page:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("Redis did not come back into use")


async def run(folder: Path, server: RedisServer, model_port: int) -> bool:
    """All faults, one after another, on one service that is never restarted."""
    async with proxied(server.port) as proxy:
        with served(folder, f"redis://127.0.0.1:{proxy.port}/0", model_port, "") as service:
            await ready(service.port)
            await stretch(service.port)
            say(
                "| fault | failed look-ups, most | slowest ticket | the others: added at p50 | at p99 |"
            )
            say("|---|---|---|---|---|")
            held = [await measure(service.port, server, proxy, name) for name in FAULTS]
            return all(held)


def main() -> int:
    """Starts, measures and ends everything."""
    with tempfile.TemporaryDirectory() as name, model(0.0) as model_port:
        arguments = (
            "--enable-debug-command",
            "yes",
            "--loading-process-events-interval-bytes",
            "1024",
        )
        server = RedisServer(Path(name), *arguments)
        server.start()
        try:
            return 0 if asyncio.run(run(Path(name), server, model_port)) else 1
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
