"""What replicas that share Redis cost and spare: `python -m loadtests.benchmarks.replicas`.

1. A unique ticket: with and without turns (`[cache] across_replicas`), two services in turn.
2. A stampede: identical tickets at once over four processes, and one whose first asker is killed.

Everything runs on one machine: a model server that waits and answers fixed bytes (no real model), a
Redis, the services with their shipped config, and this client. Quote medians and ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copytree
from time import perf_counter
from typing import NamedTuple
from urllib.request import urlopen

from classifier.config.load import SHIPPED
from loadtests.benchmarks.overhead import ask, serve_model
from tests.support.redis_server import RedisServer, free_port

ROUNDS = 10
TICKETS = 200  # of each kind in a round
PROCESSES = 4
OK = 200
Asked = tuple[int, str, float]


@contextmanager
def model(delay_s: float) -> Iterator[int]:
    """A model server's port."""
    port = free_port()
    process = multiprocessing.Process(target=serve_model, args=(port, delay_s))
    process.start()
    try:
        yield port
    finally:
        process.terminate()
        process.join()


class Service(NamedTuple):
    """A process of the service."""

    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def served(folder: Path, redis_url: str, model_port: int, cache: str) -> Iterator[Service]:
    """One service process; `cache`: lines for its `[cache]`."""
    config = folder / f"config-{free_port()}"
    copytree(SHIPPED, config)
    file = config / "classifier.toml"
    file.write_text(
        file.read_text().replace("[cache]\n", f"[connections]\nmost = 2_000\n[cache]\n{cache}\n")
    )
    port = free_port()
    environ = os.environ | {
        "OPENAI_API_KEY": "benchmark",
        "CLASSIFIER_CONFIG": str(file),
        "CLASSIFIER_ENDPOINT_OPENAI_URL": f"http://127.0.0.1:{model_port}/v1",
        "CLASSIFIER_PORT": str(port),
        "CLASSIFIER_REDIS_URL": redis_url,
        "CLASSIFIER_CACHE_SECRET": "of a benchmark and long enough",
        "CLASSIFIER_LOG_TICKETS": "false",
        "CLASSIFIER_LOG_LEVEL": "error",
    }
    process = subprocess.Popen([sys.executable, "-m", "classifier", "serve"], env=environ)
    try:
        yield Service(port, process)
    finally:
        process.kill()
        process.wait()


async def ready(port: int) -> None:
    """Waits until the service says so."""
    for _ in range(600):
        try:
            await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/readyz")
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise RuntimeError("the service did not start")


# ---------------------------------------------------------------------------- unique tickets


async def unique(ports: Sequence[int]) -> None:
    """One ticket here, one there: so close together that the machine's moods hit both alike."""
    lines = []
    for port in ports:
        await ready(port)
        lines.append(await asyncio.open_connection("127.0.0.1", port))
    rounds = []
    for _ in range(ROUNDS + 1):  # the first one only warms
        times: list[list[float]] = [[], []]
        for number in range(2 * TICKETS):
            times[number % 2].append(await ask(*lines[number % 2], hit=False))
        rounds.append([statistics.median(kind) for kind in times])
    ratios = [on / off for on, off in rounds[1:]]
    on, off = (1e3 * statistics.median(kind) for kind in zip(*rounds[1:], strict=True))
    say(f"| a unique ticket, 0 ms model, p50: with turns / without | {on:.2f} / {off:.2f} ms |")
    say(
        f"| ratio, median of {ROUNDS} rounds (least, most) | "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f}, {max(ratios):.3f}) |"
    )
    for _, writer in lines:
        writer.close()


# ---------------------------------------------------------------------------- stampede


async def post(port: int, text: str) -> Asked:
    """Status, source and seconds of one ticket on a connection of its own."""
    body = json.dumps({"body": text}).encode()
    started = perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /classify HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    head_bytes, _, rest = answer.partition(b"\r\n\r\n")
    return int(head_bytes.split()[1]), json.loads(rest).get("source", ""), perf_counter() - started


def metrics_page(port: int) -> bytes:
    """The service's metrics as they are."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        page: bytes = answer.read()
    return page


async def attempts(ports: Sequence[int]) -> int:
    """Calls to models so far, by the services' own counters."""
    total = 0
    for port in ports:
        page = await asyncio.to_thread(metrics_page, port)
        lines = [
            line
            for line in page.decode().splitlines()
            if line.startswith("classifier_attempts_total{")
        ]
        total += sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)
    return total


async def stampede(processes: Sequence[Service], tickets: int) -> None:
    """Identical tickets at once, several times; then once with the first asker killed."""
    ports = [process.port for process in processes]
    for port in ports:
        await ready(port)
        await post(port, "warm")
    most, slowest = 0, []
    for number in range(5):
        before = await attempts(ports)
        asked = await asyncio.gather(
            *(post(ports[n % len(ports)], f"stampede {number}") for n in range(tickets))
        )
        most = max(most, await attempts(ports) - before)
        statuses = {status for status, _, _ in asked}
        slowest.append(max(seconds for _, _, seconds in asked))
        if statuses != {OK}:
            raise RuntimeError(f"statuses {statuses}")
    say(
        f"| {tickets} identical tickets over {len(ports)} processes, 5 times, 100 ms model: "
        f"calls to models, most | {most} |"
    )
    say(f"| the last one answered after, median | {1e3 * statistics.median(slowest):.0f} ms |")
    await orphaned(processes, ports)


async def orphaned(processes: Sequence[Service], ports: Sequence[int]) -> None:
    """The process that asks is killed while the others wait for its answer."""
    before = await attempts(ports[1:])
    lost = asyncio.create_task(post(ports[0], "orphan"))
    await asyncio.sleep(0.04)  # it has its turn, and its model takes 100 ms
    waiting = [asyncio.create_task(post(ports[1 + n % 3], "orphan")) for n in range(150)]
    await asyncio.sleep(0.03)
    processes[0].process.send_signal(signal.SIGKILL)
    asked = await asyncio.gather(*waiting)
    calls = await attempts(ports[1:]) - before
    await asyncio.gather(lost, return_exceptions=True)
    failed = sum(status != OK for status, _, _ in asked)
    longest = max(seconds for _, _, seconds in asked)
    say(
        f"| first asker killed: errors of the 150 that wait elsewhere, their calls, longest wait "
        f"| {failed}, {calls}, {longest:.2f} s |"
    )


def say(line: str) -> None:
    """One line of the table."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Starts, measures and ends everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tickets", type=int, default=1_000, help="of the stampede")
    parser.add_argument("--only", choices=["unique", "stampede"], help="one part alone")
    options = parser.parse_args()
    say(f"{os.cpu_count()} cores, models that only wait\n\n| what | figure |\n|---|---|")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis = RedisServer(folder)
        redis.start()
        stack.callback(redis.stop)
        if options.only != "stampede":
            with (
                model(0.0) as quick,
                served(folder, redis.url, quick, "") as on,
                served(folder, redis.url, quick, "across_replicas = false") as off,
            ):
                asyncio.run(unique([on.port, off.port]))
        if options.only != "unique":
            slow = stack.enter_context(model(0.1))
            cast = [
                stack.enter_context(served(folder, redis.url, slow, "")) for _ in range(PROCESSES)
            ]
            asyncio.run(stampede(cast, options.tickets))


if __name__ == "__main__":
    main()
