"""What happened lately, for the console: a window per path, and today's money."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime

from msgspec import Struct, field

from classifier.records import Attempt, Classification

WINDOW = 1_000  # tickets per path


def _today() -> date:
    return datetime.now(UTC).date()


class Window(Struct):
    """The last answers of one path by its model, and what they cost."""

    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    nanodollars: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    simulated: bool = False

    def percentile_ms(self, percent: float) -> float | None:
        """Nearest rank over the window; None without a ticket in it."""
        ordered = sorted(self.latencies_ms)
        if not ordered:
            return None
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    def nanodollars_per_ticket(self) -> float | None:
        """None when no ticket in the window has a known cost."""
        known = len(self.nanodollars)
        return sum(self.nanodollars) / known if known else None


class Recent:
    """Promise: bounded memory. Days are UTC days; this process only, others have their own."""

    def __init__(self, today: Callable[[], date] = _today) -> None:
        self.windows: dict[str, Window] = {}
        self._today = today
        self._day = today()
        self._tickets = 0
        self._nanodollars = 0

    @property
    def tickets_today(self) -> int:
        self._turn_page()
        return self._tickets

    @property
    def nanodollars_today(self) -> int:
        """Known costs only, shadow calls and failed tickets included."""
        self._turn_page()
        return self._nanodollars

    def attempted(self, attempt: Attempt) -> None:
        self._turn_page()
        self._nanodollars += attempt.cost.nanodollars or 0

    def classified(self, classification: Classification) -> None:
        self._turn_page()
        self._tickets += 1
        if classification.source != "model":
            return
        window = self.windows.setdefault(classification.answer.path, Window())
        window.simulated |= classification.answer.simulated
        window.latencies_ms.append(classification.stages.total_s * 1_000)
        if classification.cost.nanodollars is not None:
            window.nanodollars.append(classification.cost.nanodollars)

    def _turn_page(self) -> None:
        today = self._today()
        if today != self._day:
            self._day, self._tickets, self._nanodollars = today, 0, 0
