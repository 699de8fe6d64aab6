"""What a run adds up to: per path and source, exact to the token and the nano-dollar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct, field
from rich.box import SIMPLE_HEAD
from rich.table import Table

from classifier.api.answers import Answered
from classifier.api.problems import Problem
from classifier.money import NANODOLLARS_PER_DOLLAR, nanodollars, usd
from classifier.percentiles import percentile

_PERCENTILES = (50, 95, 99)
SIMULATED = "simulated models: these figures show the service, not a vendor"


class Line(Struct):
    """One row of the table: answers of one path from one source."""

    latencies_ms: list[float] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    nanodollars: int = 0
    unknown_costs: int = 0
    upper_bounds: int = 0

    def add(self, answer: Answered) -> None:
        self.latencies_ms.append(answer.latency_ms.total)
        self.input_tokens += answer.usage.input_tokens
        self.output_tokens += answer.usage.output_tokens
        self.nanodollars += nanodollars(answer.cost_usd or "0")
        self.unknown_costs += answer.cost_status in ("unknown", "partial")
        self.upper_bounds += answer.cost_status == "upper_bound"

    def __add__(self, other: Line) -> Line:
        return Line(
            self.latencies_ms + other.latencies_ms,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.nanodollars + other.nanodollars,
            self.unknown_costs + other.unknown_costs,
            self.upper_bounds + other.upper_bounds,
        )


class Tally:
    """Adds up answers; `table` shows them with what 50,000 a day would cost."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], Line] = {}
        self.failures: Counter[str] = Counter()  # by title
        self._examples: dict[str, str] = {}
        self.judged = 0
        self.right = 0
        self.simulated = False

    def add(self, found: Answered | Problem, expected: str | None = None) -> None:
        """`expected` is the right label, where it is known."""
        if isinstance(found, Problem):
            self.failures[found.title] += 1
            self._examples.setdefault(found.title, found.detail)
            return
        self.lines.setdefault((found.path, found.source), Line()).add(found)
        self.simulated |= found.simulated
        self.judge(found.label, expected)

    def judge(self, label: str, expected: str | None) -> None:
        self.judged += expected is not None
        self.right += label == expected

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def total(self) -> Line:
        return sum(self.lines.values(), Line())

    def table(self, tickets_per_day: int) -> Table:
        title = SIMULATED if self.simulated else None
        table = Table(
            title=title,
            title_justify="left",
            title_style="bold yellow",
            caption=f"$/day at {tickets_per_day:,} tickets a day like these",
            caption_justify="left",
            box=SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
        )
        for heading in ("path", "source"):
            table.add_column(heading, overflow="fold")
        for heading in ("n", "p50 ms", "p95 ms", "p99 ms", "tokens in", "out", "$/1,000", "$/day"):
            table.add_column(heading, justify="right", no_wrap=True)
        for (path, source), line in sorted(self.lines.items()):
            table.add_row(path, source, *_cells(line, tickets_per_day))
        table.add_section()
        table.add_row("all", "", *_cells(self.total, tickets_per_day), style="bold")
        return table

    def summary(self) -> str:
        return "\n".join((self._sums(), *self._notes(), *self._reasons()))

    def _sums(self) -> str:
        total = self.total
        return (
            f"{len(total.latencies_ms)} tickets answered, {self.failed} failed, "
            f"{total.input_tokens} tokens in, {total.output_tokens} out, ${usd(total.nanodollars)}"
        )

    def _notes(self) -> Iterator[str]:
        total = self.total
        if total.unknown_costs:
            yield f"+?: {total.unknown_costs} answers hold an attempt of unknown cost, not counted"
        if total.upper_bounds:
            yield f"≤: {total.upper_bounds} answers cost at most this; nobody said what was cached"
        if self.judged:
            share = 100 * self.right / self.judged
            yield f"labels right: {self.right} of {self.judged} held-out tickets ({share:.1f} %)"

    def _reasons(self) -> Iterator[str]:
        for title, count in self.failures.most_common():
            yield f"failed {count} times: {title}; the first: {self._examples[title]}"


def _cells(line: Line, tickets_per_day: int) -> list[str]:
    n = len(line.latencies_ms)
    latencies = [f"{percentile(line.latencies_ms, p):.1f}" if n else "-" for p in _PERCENTILES]
    return [
        str(n),
        *latencies,
        str(line.input_tokens),
        str(line.output_tokens),
        f"{_dollars(line, 1_000):.5f}{_mark(line)}" if n else "-",
        f"{_dollars(line, tickets_per_day):.3f}{_mark(line)}" if n else "-",
    ]


def _dollars(line: Line, tickets: int) -> Decimal:
    """What so many tickets like these cost."""
    dollars = Decimal(line.nanodollars * tickets) / len(line.latencies_ms)
    return dollars / NANODOLLARS_PER_DOLLAR


def _mark(line: Line) -> str:
    return ("≤" if line.upper_bounds else "") + ("+?" if line.unknown_costs else "")
