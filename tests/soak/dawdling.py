"""Slow clients: sockets that trickle or stay silent, beside callers who only want an answer.

`python -m tests.soak.dawdling --sockets 1000`. What counts: all of them cut within 15 s, the
callers' p99 at most doubled, the memory at most 64 MiB more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter

import httpx2

from tests.support.house import write_config
from tests.support.process import ServiceProcess, serving
from tests.support.upstream import Upstream, served

HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
KINDS = {
    "slow head": (HEAD, b"X"),
    "slow body": (HEAD + b'Content-Length: 100000\r\n\r\n{"body":"', b"x"),
    "silent": (b"", b""),
}


@dataclass
class Met:
    """One round: what the callers waited for with and without the dawdlers."""

    alone_p99_ms: float = 0.0
    beside_p99_ms: float = 0.0
    failed: int = 0  # over a kept connection
    turned_away: int = 0  # over a new one, in the rush of the first moment: told to try again
    called: int = 0
    longest_s: float = 0.0
    grown_mib: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)


async def meet(sockets: int, seconds: float, service: ServiceProcess) -> Met:
    """One round: callers alone, then beside `sockets` dawdlers until the last of those is cut."""
    met = Met()
    met.alone_p99_ms = await _called(service, seconds, met)
    before = await _memory(service)
    ended = asyncio.Event()
    callers = asyncio.create_task(_called(service, 60.0, met, ended))
    names = [list(KINDS)[number % len(KINDS)] for number in range(sockets)]
    held = await asyncio.gather(*(_dawdle(name, service.port) for name in names))
    met.longest_s = max(held)
    met.grown_mib = (await _memory(service) - before) / 2**20
    ended.set()
    met.beside_p99_ms = await callers
    met.ends = await _cuts(service)
    return met


async def _dawdle(name: str, port: int) -> float:
    """Seconds until the server ended the connection."""
    begun, drop = KINDS[name]
    started = monotonic()
    with suppress(ConnectionError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(begun)
            over = asyncio.ensure_future(reader.read())
            while not over.done() and monotonic() < started + 60:
                await asyncio.wait([over], timeout=0.5)
                with suppress(ConnectionError):
                    writer.write(drop)
            over.cancel()
        finally:
            writer.transport.abort()
    return monotonic() - started


async def _called(
    service: ServiceProcess, seconds: float, met: Met, ended: asyncio.Event | None = None
) -> float:
    """p99 in ms of 40 requests a second: half over a kept connection, half over new ones."""
    times: list[float] = []
    deadline, number = monotonic() + seconds, 0
    while monotonic() < deadline and not (ended and ended.is_set()):
        number += 1
        started = perf_counter()
        try:
            if number % 2:
                answer = await service.client.post("/classify", json={"body": f"x {number % 50}"})
            else:
                async with httpx2.AsyncClient(trust_env=False, verify=False) as fresh:
                    url = f"http://127.0.0.1:{service.port}/classify"
                    started = perf_counter()
                    answer = await fresh.post(url, json={"body": f"x {number % 50}"})
            missed = answer.status_code != 200
        except httpx2.HTTPError:
            missed = True
        met.called += 1
        met.failed += missed and bool(number % 2)
        met.turned_away += missed and not number % 2
        times.append(1_000 * (perf_counter() - started))
        await asyncio.sleep(0.025)
    return sorted(times)[int(0.99 * len(times))]


async def _memory(service: ServiceProcess) -> float:
    return (await _page(service))["process_resident_memory_bytes"]


async def _cuts(service: ServiceProcess) -> Counter[str]:
    name = "classifier_connections_cut_total"
    page = await _page(service)
    return Counter({k: int(v) for k, v in page.items() if k.startswith(name) and v})


async def _page(service: ServiceProcess) -> dict[str, float]:
    page = (await service.client.get("/metrics")).text
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {line[0]: float(line[1]) for line in lines if len(line) == 2}


async def run(sockets: int, rounds: int, seconds: float, folder: Path, more: str = "") -> list[Met]:
    """`rounds` against a service of its own."""
    model = Upstream()
    config = write_config(folder, model.url, model.url, more)
    async with served(model, model.port), serving(config, folder) as service:
        return [await meet(sockets, seconds, service) for _ in range(rounds)]


def main(sockets: int, rounds: int) -> int:
    """Prints every round; exit code 1 when the medians break a limit."""
    with tempfile.TemporaryDirectory() as folder:
        met = asyncio.run(run(sockets, rounds, 12.0, Path(folder)))
    for each in met:
        print(each)
    ratio = median(each.beside_p99_ms / each.alone_p99_ms for each in met)
    longest, grown = max(each.longest_s for each in met), max(each.grown_mib for each in met)
    failed = sum(each.failed for each in met)
    away, called = sum(each.turned_away for each in met), sum(each.called for each in met)
    print(f"p99 x {ratio:.2f}, cut after {longest:.1f} s, {grown:+.1f} MiB, {failed} failed,")
    print(f"{away} newcomers of {called} callers turned away")
    return int(ratio > 2 or longest > 15 or grown > 64 or failed > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    sys.exit(main(chosen.sockets, chosen.rounds))
