"""What happened lately, for the console: a window per path, and today's money."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from msgspec import Struct, field

from classifier.percentiles import percentile
from classifier.records import Attempt, Classification, Cost

WINDOW = 1_000  # tickets per path


def _today() -> date:
    return datetime.now(UTC).date()


class Window(Struct):
    """The last tickets that one path answered alone, and what they cost."""

    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    nanodollars: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    simulated: bool = False

    def percentile_ms(self, percent: float) -> float | None:
        """None without a ticket in the window."""
        found = percentile(self.latencies_ms, percent)
        return None if math.isnan(found) else found

    def nanodollars_per_ticket(self) -> float | None:
        """None when no ticket in the window has a known cost."""
        known = len(self.nanodollars)
        return sum(self.nanodollars) / known if known else None


class Saving(Struct, frozen=True):
    """What was paid for answers against what the same tickets would have cost on one path alone.

    Shadow calls are left out: they are paid for measuring. `unknown` tickets could not be compared.
    """

    paid_nanodollars: int
    alone_nanodollars: int
    unknown: int
    simulated: bool

    @property
    def ratio(self) -> float | None:
        """1 is everything, below 0 is a loss; None when there is nothing to compare with."""
        if not self.alone_nanodollars:
            return None
        return 1 - self.paid_nanodollars / self.alone_nanodollars


class Day(Struct):
    """One UTC day of this process: known costs only, failed tickets included."""

    tickets: int = 0
    nanodollars: int = 0
    answers_nanodollars: int = 0  # without shadow calls
    alone_nanodollars: Counter[str] = field(default_factory=Counter)  # by path
    unknown: Counter[str] = field(default_factory=Counter)  # by path
    simulated: bool = False


def _alone(classification: Classification) -> bool:
    """Whether no other path's time and cost is in it: a claim is about one path."""
    return all(attempt.path == classification.answer.path for attempt in classification.attempts)


class Recent:
    """Promise: bounded memory. Days are UTC days; this process only, others have their own."""

    def __init__(self, today: Callable[[], date] = _today) -> None:
        self.windows: dict[str, Window] = {}
        self._today = today
        self._date = today()
        self._day = Day()

    @property
    def day(self) -> Day:
        """Today, empty from midnight UTC on."""
        today = self._today()
        if today != self._date:
            self._date, self._day = today, Day()
        return self._day

    def saving(self, path: str) -> Saving:
        """Today's, against this path alone and without a cache."""
        day = self.day
        return Saving(
            day.answers_nanodollars,
            day.alone_nanodollars[path],
            day.unknown[path],
            day.simulated,
        )

    def attempted(self, attempt: Attempt) -> None:
        day, nanodollars = self.day, attempt.cost.nanodollars or 0
        day.nanodollars += nanodollars
        day.simulated |= attempt.simulated
        if attempt.reason != "shadow":
            day.answers_nanodollars += nanodollars

    def compared(self, alone: Mapping[str, Cost]) -> None:
        """What an answered ticket would have cost on each path alone."""
        day = self.day
        for path, cost in alone.items():
            if cost.nanodollars is None:
                day.unknown[path] += 1
            else:
                day.alone_nanodollars[path] += cost.nanodollars

    def classified(self, classification: Classification) -> None:
        day = self.day
        day.tickets += 1
        day.simulated |= classification.answer.simulated  # a remembered answer, too
        if classification.source != "model" or not _alone(classification):
            return
        window = self.windows.setdefault(classification.answer.path, Window())
        window.simulated |= classification.answer.simulated
        window.latencies_ms.append(classification.stages.total_s * 1_000)
        if classification.cost.nanodollars is not None:
            window.nanodollars.append(classification.cost.nanodollars)
