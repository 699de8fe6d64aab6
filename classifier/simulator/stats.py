"""What the simulator has served since it started or was reset."""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec import Struct

from classifier.records import Usage


class Tally(Struct):
    """Sums over the answered calls of one model on one endpoint."""

    calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0

    def add(self, usage: Usage) -> None:
        self.calls += 1
        self.input_tokens += usage.input_tokens
        self.cached_input_tokens += usage.cached_input_tokens or 0
        self.cache_write_tokens += usage.cache_write_tokens or 0
        self.output_tokens += usage.output_tokens


class Stats:
    """Counts answers that were worked out, and faults; a spoilt answer counts in both."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._faults: Counter[str] = Counter()

    def served(self, model: str, endpoint: str, usage: Usage) -> None:
        self._tallies.setdefault((model, endpoint), Tally()).add(usage)

    def faulted(self, fault: str) -> None:
        self._faults[fault] += 1

    def report(self) -> dict[str, Any]:
        return {
            "simulated": True,
            "calls": [
                {"model": model, "endpoint": endpoint, "totals": tally}
                for (model, endpoint), tally in self._tallies.items()
            ],
            "faults": dict(self._faults),
        }
