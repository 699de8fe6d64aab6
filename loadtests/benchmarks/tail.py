"""What a second call does to the tail: `python -m loadtests.benchmarks.tail`, about two minutes.

The simulator in a process of its own (2 % of its answers take ten times as long), and the house's
own paths over the real SDK in this one: the same path without and with a hedge, ticket by ticket in
turn, so that both meet the same moments of a shared machine. A run in which this process's own loop
was late says nothing about models and is void.
"""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import tempfile
from pathlib import Path as FilePath
from time import perf_counter

from msgspec import structs

from classifier.assembly import Assembly
from classifier.attempts import Runner
from classifier.config.guards import Hedge
from classifier.config.load import SHIPPED, load
from classifier.paths.pool import EndpointPool
from classifier.percentiles import percentile
from classifier.records import Attempt
from classifier.routing import Plan
from tests.support.redis_server import free_port

TICKETS = 1_000  # of each kind
PER_SECOND = 20.0
MAX_LAG_P99_S = 0.020
MIN_CUT, MAX_EXTRA = 0.65, 0.05
SIMULATOR = """
[[models]]
match = "*"
endpoints = ["chat"]
[models.latency]
base_ms = 100.0
sigma = 0.3
slow_share = 0.02
slow_factor = 10.0
"""


class Kind:
    """One of the two: its path, and how long its tickets took."""

    def __init__(self, url: str, hedge: Hedge | None) -> None:
        self.took: list[float] = []
        self.attempts: list[Attempt] = []
        self.endpoints = EndpointPool({})
        loaded = load(SHIPPED / "demo.toml", {"CLASSIFIER_ENDPOINT_SIMULATOR_URL": url})
        short = structs.replace(loaded.config.paths["short"], timeout_s=5.0, hedge=hedge)
        config = structs.replace(loaded.config, paths={**loaded.config.paths, "short": short})
        loaded = structs.replace(loaded, config=config)
        self.paths = Assembly(loaded, self.endpoints.open).paths
        self.runner = Runner(self.attempts.append)

    async def ask(self, text: str) -> None:
        """One ticket, from its arrival to its label."""
        started = perf_counter()
        plan = Plan("tail", "short")
        run = await self.runner.run(plan, self.paths, text, started + 8.0)
        if run.decisive is None:
            raise RuntimeError(f"no label: {[attempt.outcome for attempt in run.attempts]}")
        self.took.append(perf_counter() - started)

    async def aclose(self) -> None:
        await self.runner.aclose()
        await self.endpoints.aclose()

    @property
    def extra(self) -> float:
        return len(self.attempts) / len(self.took) - 1.0


async def _watch_lag(late: list[float]) -> None:
    while True:
        wanted = perf_counter() + 0.005
        await asyncio.sleep(0.005)
        late.append(perf_counter() - wanted)


async def measure(url: str) -> bool:
    """Prints a Markdown table; false when the run is void or misses what is promised."""
    rng = random.Random(1)
    kinds = {"plain": Kind(url, None), "hedged": Kind(url, Hedge())}
    late: list[float] = []
    watch = asyncio.create_task(_watch_lag(late))
    async with asyncio.TaskGroup() as tickets:
        for number in range(2 * TICKETS):
            await asyncio.sleep(rng.expovariate(PER_SECOND))
            kind = kinds["hedged" if number % 2 else "plain"]
            tickets.create_task(kind.ask(f"charged twice {number}"))
    watch.cancel()
    for kind in kinds.values():
        await kind.aclose()
    return _report(kinds["plain"], kinds["hedged"], percentile(late, 99))


def _report(plain: Kind, hedged: Kind, lag_s: float) -> bool:
    print("| | p50 | p95 | p99 | p99.9 | extra calls |\n|---|---|---|---|---|---|")
    for name, kind in (("plain", plain), ("hedged", hedged)):
        cells = [f"{1e3 * percentile(kind.took, p):.0f} ms" for p in (50, 95, 99, 99.9)]
        print(f"| {name} | {' | '.join(cells)} | {kind.extra:.1%} |")
    cut = 1 - percentile(hedged.took, 99) / percentile(plain.took, 99)
    valid = lag_s <= MAX_LAG_P99_S
    print(f"\np99 cut by {cut:.0%}; simulated model; loop late by {1e3 * lag_s:.1f} ms (p99)")
    if not valid:
        print("void: this machine was too busy to measure on")
    return valid and cut >= MIN_CUT and hedged.extra <= MAX_EXTRA


def main() -> None:
    """Starts the simulator, measures, ends it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = FilePath(folder) / "simulator.toml"
        file.write_text(SIMULATOR)
        command = [sys.executable, "-m", "classifier", "simulate", "--port", str(port)]
        command += ["--models", str(file)]
        simulator = subprocess.Popen(command)  # noqa: S603 -- our own module and a port
        try:
            _await_listening(port)
            met = asyncio.run(measure(f"http://127.0.0.1:{port}/v1"))
        finally:
            simulator.terminate()
            simulator.wait()
    sys.exit(0 if met else 1)


def _await_listening(port: int) -> None:
    ends = perf_counter() + 60.0
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
        except OSError:
            if perf_counter() > ends:
                raise
        else:
            return


if __name__ == "__main__":
    main()
