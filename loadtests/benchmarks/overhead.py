"""What the service adds to a ticket: `python -m loadtests.benchmarks.overhead`, about a minute.

Three processes on one machine: a model server that waits and answers fixed bytes, the service with
its real config (cache, metrics; no per-ticket log), and this client over plain sockets. Added time =
time at the client minus the model server's wait. Quote medians and ratios, not milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable
from itertools import count
from time import perf_counter
from urllib.request import urlopen

from tests.support.redis_server import free_port
from tests.support.upstream import completion

ROUNDS = 3
SECONDS = 5.0
NUMBERS = count()


class ModelServer(asyncio.Protocol):
    """Answers every request after `delay_s` with the same completion."""

    def __init__(self, delay_s: float, answer: bytes) -> None:
        self._delay_s = delay_s
        self._answer = answer
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers when a request is whole."""
        self._held += data
        head, found, rest = self._held.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if found and len(rest) >= int(length or 0):
            self._held = b""
            loop = asyncio.get_running_loop()
            loop.call_later(self._delay_s, self._transport.write, self._answer)


def serve_model(port: int, delay_s: float) -> None:
    """Runs in a process of its own until it is ended."""
    body = json.dumps(completion("billing")).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answer = head.encode() + body

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: ModelServer(delay_s, answer), "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(run())


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, hit: bool) -> float:
    """One ticket over an open connection; seconds until the answer is whole."""
    body = b'{"subject":"Invoice","body":"charged twice %d"}' % (0 if hit else next(NUMBERS))
    head = (
        b"POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: "
    )
    started = perf_counter()
    writer.write(b"%s%d\r\n\r\n%s" % (head, len(body), body))
    answer_head = await reader.readuntil(b"\r\n\r\n")
    if not answer_head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer_head.decode())
    length = int(answer_head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return perf_counter() - started


async def closed_loop(port: int, connections: int, *, hit: bool) -> list[float]:
    """Each connection asks again as soon as it is answered."""
    times: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ends = perf_counter() + SECONDS
        while perf_counter() < ends:
            times.append(await ask(reader, writer, hit=hit))
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return times


async def paced(port: int, per_second: float) -> list[float]:
    """One ticket at a time on one connection, with pauses: the real load of most teams."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    for _ in range(int(per_second * SECONDS)):
        times.append(await ask(reader, writer, hit=False))
        await asyncio.sleep(max(0.0, 1 / per_second - times[-1]))
    writer.close()
    return times


class Running:
    """A model server and a service in front of it."""

    def __init__(self, delay_s: float) -> None:
        model_port, self.port = free_port(), free_port()
        self._model = multiprocessing.Process(target=serve_model, args=(model_port, delay_s))
        self._model.start()
        environ = os.environ | {
            "OPENAI_API_KEY": "benchmark",
            "CLASSIFIER_ENDPOINT_OPENAI_URL": f"http://127.0.0.1:{model_port}/v1",
            "CLASSIFIER_PORT": str(self.port),
            "CLASSIFIER_LOG_TICKETS": "false",
            "CLASSIFIER_LOG_LEVEL": "warning",
        }
        self._service = subprocess.Popen([sys.executable, "-m", "classifier", "serve"], env=environ)

    async def ready(self) -> None:
        """Waits until a path is up."""
        for _ in range(300):
            try:
                await asyncio.to_thread(urlopen, f"http://127.0.0.1:{self.port}/readyz")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return
        raise RuntimeError("the service did not start")

    def stop(self) -> None:
        """Ends both processes."""
        self._service.terminate()
        self._service.wait()
        self._model.terminate()
        self._model.join()


async def measure(fast: Running, slow: Running) -> None:
    """All kinds of load in turn, several rounds; prints a Markdown table."""
    await fast.ready()
    await slow.ready()
    added, one, many, hits = [], [], [], []
    for _ in range(ROUNDS):
        added.append([1e3 * (s - 0.1) for s in await paced(slow.port, 5)])
        one.append(await closed_loop(fast.port, 1, hit=False))
        many.append(await closed_loop(fast.port, 32, hit=False))
        hits.append(await closed_loop(fast.port, 32, hit=True))
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, medians of {ROUNDS} rounds\n"
    )
    print("| what | figure |\n|---|---|")
    print(
        f"| added to a 100 ms model at 5/s, p50 | {_median(map(statistics.median, added)):.1f} ms |"
    )
    print(
        f"| one ticket at a time, 0 ms model, p50 | {1e3 * _median(map(statistics.median, one)):.2f} ms |"
    )
    print(
        f"| 32 connections, 0 ms model | {_median(len(r) / SECONDS for r in many):.0f} tickets/s |"
    )
    print(f"| 32 connections, cached | {_median(len(r) / SECONDS for r in hits):.0f} tickets/s |")


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> None:
    """Starts, measures and ends everything."""
    fast, slow = Running(0.0), Running(0.1)
    try:
        asyncio.run(measure(fast, slow))
    finally:
        fast.stop()
        slow.stop()


if __name__ == "__main__":
    main()
