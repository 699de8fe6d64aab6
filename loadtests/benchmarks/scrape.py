"""How long a scrape holds up the tickets: `python -m loadtests.benchmarks.scrape`, about a minute.

One event loop, 200 tickets a second booked as the pipeline books them, and a clock that ticks every
millisecond. In turn the page is rendered as the service does it, and with the same histograms as
prometheus_client's own. The stall is by how much the latest tick around a scrape was late.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import statistics
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from classifier.assembly import Assembly
from classifier.config.load import SHIPPED, load
from classifier.metrics import Metrics
from classifier.paths.pool import EndpointPool
from classifier.records import Answer, Attempt, Classification, Cost, Source, Stages, Usage

ROUNDS = 150
TICKETS_BEFORE = 5_000
TICKETS_PER_SECOND = 200
TICK_S = 0.001
QUIET_S = 0.05  # before and after each scrape
SOURCES: tuple[Source, ...] = ("model", "cache", "coalesced")


class Load:
    """Books tickets at a steady rate, and keeps how late the clock's ticks were."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._rng = random.Random(1)
        self.latest_s = 0.0

    async def book(self) -> None:
        """Tickets for ever."""
        while True:
            await asyncio.sleep(1 / TICKETS_PER_SECOND)
            self.ticket()

    async def tick(self) -> None:
        """The clock whose delays are measured."""
        while True:
            due = perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            self.latest_s = max(self.latest_s, perf_counter() - due)

    def ticket(self) -> None:
        """One ticket with its attempt, its cache look-up and its request."""
        path = self._rng.choice(("short", "long"))
        taken_s = self._rng.lognormvariate(-2.3, 0.4)
        usage, cost = Usage(150, 2, 0, 0), Cost(47_400)
        attempt = Attempt(
            path=path,
            reason="answer" if path == "short" else "escalation",
            outcome="labelled",
            duration_s=taken_s,
            usage=usage,
            cost=cost,
            server_time_s=taken_s,
        )
        answer = Answer(
            label="billing",
            confidence=self._rng.random(),
            path=path,
            model="model",
            taxonomy="taxonomy",
            prompt="prompt",
            simulated=True,
            ticket_tokens=90,
        )
        stages = Stages(taken_s + 0.0005, taken_s, 0.00002)
        source = self._rng.choice(SOURCES)
        classification = Classification("1", answer, source, usage, cost, stages, "default")
        self._metrics.attempted(attempt)
        self._metrics.cache_operation("memory", "get", "hit", 0.00001)
        self._metrics.classified(classification, "classify")
        self._metrics.requested("/classify", 200)


def replayed(page: str) -> CollectorRegistry:
    """The page's histograms once more, as prometheus_client keeps and renders them."""
    registry = CollectorRegistry()
    for family in text_string_to_metric_families(page):
        if family.type == "histogram":
            _replay(family, registry)
    return registry


def _replay(family: Metric, registry: CollectorRegistry) -> None:
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    names = [name for name in (buckets[0].labels if buckets else ()) if name != "le"]
    bounds = list(dict.fromkeys(float(sample.labels["le"]) for sample in buckets))
    histogram = Histogram(
        family.name, family.documentation, names, registry=registry, buckets=bounds or [1.0]
    )
    for sample in buckets:
        child = histogram.labels(*(sample.labels[name] for name in names))
        bound = float(sample.labels["le"])
        missing = int(sample.value) - sum(b.get() for b in child._buckets)  # noqa: SLF001
        for _ in range(int(missing)):
            child.observe(bound)


async def stall_of(traffic: Load, render: Callable[[], bytes]) -> tuple[float, float]:
    """Milliseconds: rendering the page, and the latest tick around it."""
    await asyncio.sleep(QUIET_S)
    traffic.latest_s = 0.0
    started = perf_counter()
    render()
    rendered_s = perf_counter() - started
    await asyncio.sleep(QUIET_S)
    return rendered_s * 1_000, traffic.latest_s * 1_000


def demo_metrics() -> Metrics:
    """Metrics of the demo's config: two paths, sixteen labels."""
    environ = {"CLASSIFIER_ENDPOINT_SIMULATOR_URL": "http://127.0.0.1:9/v1"}
    metrics = Metrics()
    metrics.configured(Assembly(load(SHIPPED / "demo.toml", environ), EndpointPool(environ).open))
    return metrics


async def main() -> None:
    """Interleaved, so that a busy moment of the machine hits all of them alike."""
    metrics = demo_metrics()
    traffic = Load(metrics)
    for _ in range(TICKETS_BEFORE):
        traffic.ticket()
    theirs = replayed(metrics.render().decode())
    others = metrics._registry  # noqa: SLF001 -- counters and gauges, the same for both
    ways: dict[str, Callable[[], bytes]] = {
        "no scrape": lambda: b"",
        "ours": metrics.render,
        "prometheus_client": lambda: generate_latest(others) + generate_latest(theirs),
    }
    lines = {name: render().count(b"\n") for name, render in ways.items()}
    tasks = [asyncio.create_task(work) for work in (traffic.book(), traffic.tick())]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, render in ways.items():
            measured[name].append(await stall_of(traffic, render))
    for task in tasks:
        task.cancel()
    report(lines, measured)


def report(lines: dict[str, int], measured: dict[str, list[tuple[float, float]]]) -> None:
    """The table: medians and 95th percentiles in milliseconds."""
    print(
        f"{ROUNDS} rounds, interleaved · {platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} · Python {platform.python_version()}, "
        f"prometheus_client {version('prometheus_client')}\n"
    )
    print(
        f"{'scrape':<20}{'lines':>7}{'render p50':>12}{'p95':>8}{'stall p50':>12}{'p95':>8}  [ms]"
    )
    for name, figures in measured.items():
        rendered, stalled = (sorted(column) for column in zip(*figures, strict=True))
        columns = [
            value
            for column in (rendered, stalled)
            for value in (statistics.median(column), column[int(0.95 * len(column))])
        ]
        print(f"{name:<20}{lines[name]:>7}" + "{:>12.2f}{:>8.2f}{:>12.2f}{:>8.2f}".format(*columns))


if __name__ == "__main__":
    asyncio.run(main())
