"""Counters of money: integers inside, so that a million small costs add up exactly."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from classifier.money import NANODOLLARS_PER_DOLLAR


class DollarCounter(Collector):
    """Counts nano-dollars, exports dollars: one division, at the scrape, of an exact sum."""

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...]) -> None:
        self._name = name
        self._help_text = help_text
        self._labels = labels
        self._nanodollars: dict[tuple[str, ...], int] = {}

    def add(self, nanodollars: int, *values: str) -> None:
        self._nanodollars[values] = self._nanodollars.get(values, 0) + nanodollars

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._help_text, labels=self._labels)
        for values, nanodollars in list(self._nanodollars.items()):
            family.add_metric(values, nanodollars / NANODOLLARS_PER_DOLLAR)
        yield family
