"""The report's sentences and cells, the same in HTML, Markdown and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.claims import NOTHING
from loadtests.money import Price
from loadtests.summary import Row, Stage, Summary
from loadtests.verdict import BROKEN, HOLDS, Check, figure, number

SIMULATED = (
    "Latencies, tokens and answers are made up by this project's own simulator. These figures show "
    "what the service adds, not what a vendor's model does."
)
_ARRIVALS = (
    "Arrivals are a Poisson process with exponential gaps from a seeded generator; they never wait "
    "for answers (open loop)."
)
_LATENCY = (
    "Latency counts from the instant that a ticket was due, so a stall is felt by every ticket that "
    "came meanwhile."
)
_TICKETS = (
    "Tickets come from the data file. Each ends in a mark of about 7 tokens where the cache must not "
    "know it, and these tokens are part of the cost."
)
_INTERVALS = (
    "Intervals hold the true figure with 95 % confidence: order statistics for medians, normal "
    "approximation for means. A claim holds or does not hold when its whole interval says so."
)
_PERCENTILES = (
    "Percentiles are nearest rank; one that fewer than one ticket lies beyond is not given. Limits "
    "look at what was measured, not at intervals."
)
METHOD = (_ARRIVALS, _LATENCY, _TICKETS, _INTERVALS, _PERCENTILES)
COMPRESSED = (
    "Compression raises the rate, so queues, pools and the processor are tried harder than on the "
    "real day. It hides what idle time does: connections that time out between tickets, models that "
    "go cold, caches that expire, slow leaks."
)
_NONE = NOTHING
_TITLES = {HOLDS: "holds", BROKEN: "broken"}


def headline(summary: Summary) -> str:
    verdict = summary.run.verdict
    return _TITLES.get(verdict.code, "no verdict") if verdict else "no verdict"


def method(summary: Summary) -> list[str]:
    return [*METHOD, *([COMPRESSED] if summary.run.plan.compress != 1 else [])]


def cells(values: Sequence[float], count: int) -> list[str]:
    """One cell a value; dashes where nothing was measured."""
    return [number(value) for value in values] if values else [_NONE] * count


ROW_HEADS = (
    "path", "way", "tickets", "p50", "p95", "p99", "p99.9", "service p50", "p99", "overhead p50",
    "p99", "tokens in", "out", "$/1,000", "right",
)  # fmt: skip


def row_cells(row: Row) -> list[str]:
    tokens = row.tokens
    return [
        row.path,
        row.way,
        f"{row.tickets:,}",
        *cells(row.latency, 4),
        *cells(row.served, 2),
        *cells(row.overhead, 2),
        number(tokens[0]) if tokens else _NONE,
        number(tokens[1]) if tokens else _NONE,
        _NONE if row.dollars_per_1000 is None else f"{row.dollars_per_1000:.4f}",
        f"{row.right[0] / row.right[1]:.0%}" if row.right else _NONE,
    ]


CHECK_HEADS = ("limit", "what", "measured", "allowed", "")


def check_cells(check: Check) -> list[str]:
    limit = check.limit
    bound = "at least" if limit.at_least else "at most"
    own = ", set for this run" if limit.own else ""
    return [
        limit.name,
        limit.of + (f" ({limit.phase})" if limit.phase else ""),
        _NONE if check.value is None else figure(check.value, limit.unit),
        f"{bound} {figure(limit.at, limit.unit)}{own}",
        mark(check),
    ]


def mark(check: Check) -> str:
    if check.ok:
        return "holds"
    return "not measured" if check.value is None else "broken"


STAGE_HEADS = ("stage", "measured by", "p50", "p95", "p99")


def stage_cells(stage: Stage) -> list[str]:
    return [stage.name, stage.by, *cells(stage.values, 3)]


PRICE_HEADS = (
    "",
    "tickets",
    "$ a ticket",
    "$ a day at 50,000",
    "95 % interval",
    "$ a month",
    "saving",
)


def price_cells(price: Price) -> list[str]:
    day, low, high = price.per_day
    return [
        price.what,
        f"{price.tickets:,}",
        f"{price.per_ticket[0]:.7f}",
        f"{day:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{30 * day:,.0f}",
        _NONE if price.saving is None else f"{price.saving:.1%}",
    ]


def conditions(summary: Summary) -> list[tuple[str, str]]:
    """Everything that has to be known to repeat the run or to doubt it."""
    run, plan = summary.run, summary.run.plan
    late, lag = summary.late, summary.lag
    found = [
        ("scenario", f"{plan.scenario.name}: {plan.scenario.shows}"),
        ("compression", plan.meaning),
        *run.conditions.items(),
    ]
    if run.workers > 1:
        found.append(("generator", f"{run.workers} Locust workers"))
    if late:
        found.append(
            ("lateness of the generator", " / ".join(f"{number(one)} ms" for one in late) + " (p50 / p99 / worst)")
        )  # fmt: skip
    if lag:
        found.append(
            ("stalls of its loop", " / ".join(f"{number(one)} ms" for one in lag) + " (p50 / p99 / worst)")
        )  # fmt: skip
    if run.cpu:
        requests = max(1, len(run.samples))
        found.append(
            ("processor time", ", ".join(
                f"{name} {seconds:.1f} s ({1e3 * seconds / requests:.2f} ms a request)"
                for name, seconds in run.cpu.items()
            ))
        )  # fmt: skip
    found += [(f"at {at_s:.1f} s", what) for at_s, what in run.faults]
    return found
