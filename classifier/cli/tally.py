"""What a run adds up to: per path and source, exact to the token and the nano-dollar."""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct, field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from classifier.api.answers import Answered
from classifier.money import nanodollars, usd

_PERCENTILES = (50, 95, 99)
_WIDTH = 100  # of a table that goes to a file or a pipe
SIMULATED = "simulated models: these figures show the service, not a vendor"


def console(*, stderr: bool = False) -> Console:
    """A console whose tables stay whole when nobody watches them."""
    found = Console(stderr=stderr, soft_wrap=True)
    return found if found.is_terminal else Console(stderr=stderr, soft_wrap=True, width=_WIDTH)


class Line(Struct):
    """One row of the table: answers of one path from one source."""

    latencies_ms: list[float] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    nanodollars: int = 0
    unknown_costs: int = 0

    def add(self, answer: Answered) -> None:
        self.latencies_ms.append(answer.latency_ms.total)
        self.input_tokens += answer.usage.input_tokens
        self.output_tokens += answer.usage.output_tokens
        self.nanodollars += nanodollars(answer.cost_usd or "0")
        self.unknown_costs += answer.cost_status in ("unknown", "partial")


class Tally:
    """Adds up answers; `table` shows them with what 50,000 a day would cost."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], Line] = {}
        self.failed = 0
        self.judged = 0
        self.right = 0
        self.simulated = False

    def add(self, answer: Answered, expected: str | None = None) -> None:
        key = (answer.path, answer.source)
        self.lines.setdefault(key, Line()).add(answer)
        self.simulated |= answer.simulated
        if expected is not None:
            self.judged += 1
            self.right += answer.label == expected

    @property
    def total(self) -> Line:
        return Line(
            [ms for line in self.lines.values() for ms in line.latencies_ms],
            sum(line.input_tokens for line in self.lines.values()),
            sum(line.output_tokens for line in self.lines.values()),
            sum(line.nanodollars for line in self.lines.values()),
            sum(line.unknown_costs for line in self.lines.values()),
        )

    def table(self, tickets_per_day: int) -> Table:
        title = SIMULATED if self.simulated else None
        table = Table(
            title=title,
            title_justify="left",
            title_style="bold yellow",
            caption=f"$/day at {tickets_per_day:,} tickets a day like these",
            caption_justify="left",
            box=SIMPLE_HEAD,
        )
        table.add_column("path")
        table.add_column("source")
        for heading in ("n", "p50 ms", "p95 ms", "p99 ms", "tokens in", "out", "$/1,000", "$/day"):
            table.add_column(heading, justify="right", no_wrap=True)
        for (path, source), line in sorted(self.lines.items()):
            table.add_row(path, source, *_cells(line, tickets_per_day))
        table.add_section()
        table.add_row("all", "", *_cells(self.total, tickets_per_day), style="bold")
        return table

    def summary(self) -> str:
        total = self.total
        text = (
            f"{len(total.latencies_ms)} tickets answered, {self.failed} failed, "
            f"{total.input_tokens} tokens in, {total.output_tokens} out, ${usd(total.nanodollars)}"
        )
        if total.unknown_costs:
            text += (
                f"\n+?: {total.unknown_costs} answers hold an attempt of unknown cost, not counted"
            )
        if self.judged:
            share = 100 * self.right / self.judged
            text += (
                f"\nlabels right: {self.right} of {self.judged} held-out tickets ({share:.1f} %)"
            )
        return text


def percentile(values: Iterable[float], percent: float) -> float:
    """Nearest-rank percentile: the smallest value with at least `percent` % at or below it."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else math.nan


def _cells(line: Line, tickets_per_day: int) -> list[str]:
    n = len(line.latencies_ms)
    latencies = [f"{percentile(line.latencies_ms, p):.1f}" for p in _PERCENTILES]
    per_ticket = line.nanodollars / n if n else 0.0
    mark = "+?" if line.unknown_costs else ""
    return [
        str(n),
        *latencies,
        str(line.input_tokens),
        str(line.output_tokens),
        f"{per_ticket * 1_000 / 1e9:.5f}{mark}",
        f"{per_ticket * tickets_per_day / 1e9:.3f}{mark}",
    ]
