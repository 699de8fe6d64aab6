"""How long calls take just now: percentiles over the last of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

SIZE = 200
WARM = 50  # fewer say nothing about a 95th percentile


class Window:
    """The last 200 durations, kept sorted: a new one costs a microsecond, a percentile nothing."""

    def __init__(self) -> None:
        self._in_turn: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, duration_s: float) -> None:
        if len(self._in_turn) == SIZE:
            del self._sorted[bisect_left(self._sorted, self._in_turn.popleft())]
        self._in_turn.append(duration_s)
        insort(self._sorted, duration_s)

    @property
    def is_warm(self) -> bool:
        return len(self._sorted) >= WARM

    def percentile_s(self, percent: int) -> float:
        """Nearest rank; 0.0 while there is nothing."""
        rank = -(-percent * len(self._sorted) // 100)
        return self._sorted[max(0, rank - 1)] if self._sorted else 0.0
