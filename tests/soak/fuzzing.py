"""Raw bytes against the real socket: mutated requests, a million of them by option.

`python -m tests.soak.fuzzing --count 1000000 --seed 7`. What counts: no answer of 500 or more, the
process alive, its memory flat. The same seed sends the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import httptools

from tests.support.house import write_config
from tests.support.process import ServiceProcess, serving
from tests.support.raw import RawAnswer, request
from tests.support.upstream import Upstream, served

CONFIG = "\n[connections]\nreceive_timeout_s = 0.05\n"
TOGETHER = 32
_JSON = b"Content-Type: application/json"
_CHUNKED = (
    b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    + _JSON
    + b'\r\n\r\n5\r\n{"bod\r\n7\r\ny":"x"}\r\n0\r\n\r\n'
)
CORPUS = (
    request("/classify", b'{"body":"I was charged twice"}', _JSON),
    request("/classify?path=long&cache=off", b'{"body":"x","tags":["a"],"id":"1"}', _JSON),
    request("/classify", b'{"body":"\xc3\xa9\\ud83d\\ude00","metadata":{"k":[1.5,null]}}', _JSON),
    request("/classify", b'{"body":"x"}', _JSON, b"Connection: Upgrade", b"Upgrade: h2c"),
    request("/classify", b'{"body":"x"}', _JSON, b"Expect: 100-continue"),
    request("/classify/batch", b'{"body":"a"}\n{"body":"b"}\n', b"Content-Type: application/x-ndjson"),
    request("/readyz", b"", method="GET"),
    request("/console/state", b"", b"Authorization: Bearer x", method="GET"),
    request("/schema/openapi.json", b"", b"Accept: */*", method="GET"),
    _CHUNKED,
    _CHUNKED + request("/healthz", b"", method="GET"),
)  # fmt: skip
SPLICES = (
    b"\r\n", b"\r", b"\n", b"\x00", b" ", b":", b"\xff", b"%", b"{", b"[" * 1_500, b'"',
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"HTTP/1.0", b"0\r\n\r\n", b"x" * 20_000,
    b"\xed\xa0\x80", b"1e999", b"\\u0000", b"NaN",
)  # fmt: skip


@dataclass
class Found:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    worst: list[tuple[int, bytes]] = field(default_factory=list)
    memory_before: float = 0.0
    memory_after: float = 0.0
    took_s: float = 0.0

    @property
    def grown_mib(self) -> float:
        return (self.memory_after - self.memory_before) / 2**20


def mutated(rng: random.Random) -> bytes:
    """A request with one to six places changed, cut, doubled, or filled with something else."""
    data = bytearray(rng.choice(CORPUS))
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(data) + 1)
        size = min(rng.choice((0, 1, 1, 2, 4, 16, 64)), len(data) - place)
        match rng.randrange(5):
            case 0:
                data[place : place + size] = rng.randbytes(rng.randint(0, 4))
            case 1:
                data[place:place] = rng.choice(SPLICES)
            case 2:
                del data[place : place + size]
            case 3:
                data[place:place] = data[place : place + size] * rng.randint(1, 3)
            case _:
                other = rng.choice(CORPUS)
                data[place:] = other[rng.randrange(len(other)) :]
    return bytes(data)


async def fuzz(count: int, seed: int, service: ServiceProcess) -> Found:
    """Sends `count` requests, each over a connection of its own, `TOGETHER` at a time."""
    rng, found, started = random.Random(seed), Found(), monotonic()
    left = iter(range(count))
    await _send_some(rng, iter(range(min(count // 4, 2_000))), Found(), service.port)  # warm
    found.memory_before = await _memory(service)
    await _send_some(rng, left, found, service.port)
    found.memory_after = await _memory(service)
    found.took_s = monotonic() - started
    return found


async def _send_some(rng: random.Random, left: object, found: Found, port: int) -> None:
    async def work() -> None:
        for _ in left:  # type: ignore[attr-defined]  # shared by all workers
            data = mutated(rng)
            status = await _first_status(port, data)
            found.statuses[status] += 1
            if status >= 500:
                found.worst.append((status, data))

    await asyncio.gather(*(work() for _ in range(TOGETHER)))


async def _first_status(port: int, data: bytes) -> int:
    """The first answer's status; 0 when the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = RawAnswer()
    try:
        writer.write(data)
        async with asyncio.timeout(30):
            while not answer.complete and (more := await reader.read(65_536)):
                with suppress(httptools.HttpParserError):
                    answer.feed(more)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return answer.status


async def _memory(service: ServiceProcess) -> float:
    page = (await service.client.get("/metrics")).text
    name = "process_resident_memory_bytes "
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(name))


def _errors(service: ServiceProcess) -> list[str]:
    """What the service logged as its own fault."""
    return [line for line in service.stderr().splitlines() if '"level":"error"' in line][:20]


async def run(count: int, seed: int, folder: Path) -> Found:
    """A service of its own over a scripted model, fuzzed; it must be alive afterwards, without a 5xx."""
    model = Upstream()
    async with (
        served(model, model.port),
        serving(write_config(folder, model.url, model.url, CONFIG), folder) as service,
    ):
        found = await fuzz(count, seed, service)
        assert (await service.client.get("/healthz")).text == "ok"
        page = (await service.client.get("/metrics")).text
        counted = [x for x in page.splitlines() if 'status="5xx"' in x and not x.endswith(" 0.0")]
        # Of all answers, also those behind a connection's first.
        assert not counted, (counted, _errors(service))
    return found


def main(count: int, seed: int) -> int:
    """Prints what was found; exit code 1 for an answer of 500 or more, or memory that grows."""
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(count, seed, Path(folder)))
    rate = sum(found.statuses.values()) / found.took_s
    print(f"{sum(found.statuses.values()):,} requests, seed {seed}, {rate:,.0f}/s")
    print(f"statuses {dict(sorted(found.statuses.items()))}")
    print(f"memory {found.memory_before / 2**20:.1f} MiB, {found.grown_mib:+.1f} MiB")
    for status, data in found.worst[:20]:
        print(status, data)
    return 1 if found.worst or found.grown_mib > 16 else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    sys.exit(main(chosen.count, chosen.seed))
