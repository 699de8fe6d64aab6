"""Makes metrics and keeps a list of what was made: the reference is written from it."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from classifier.metrics.histogram import LATENCY_BOUNDS_S, Histogram
from classifier.metrics.money import DollarCounter


class Described(NamedTuple):
    """One metric as the reference shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Maker:
    """Names as `classifier_<thing>_<base unit>[_total]`; label values from closed sets only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series for every counter doubles the page
        self._registry = registry
        self.histograms: list[Histogram] = []
        self.described: list[Described] = []

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        self.described.append(Described(name, "counter", labels, help_text))
        return Counter(name, help_text, labels, registry=self._registry)

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Gauge:
        self.described.append(Described(name, "gauge", labels, help_text))
        return Gauge(name, help_text, labels, registry=self._registry)

    def dollars(self, name: str, help_text: str, labels: tuple[str, ...]) -> DollarCounter:
        self.described.append(Described(name, "counter", labels, help_text))
        counter = DollarCounter(name, help_text, labels)
        self._registry.register(counter)
        return counter

    def histogram(
        self,
        name: str,
        help_text: str,
        labels: tuple[str, ...],
        bounds: tuple[float, ...] = LATENCY_BOUNDS_S,
    ) -> Histogram:
        self.described.append(Described(name, "histogram", labels, help_text))
        self.histograms.append(Histogram(name, help_text, labels, bounds))
        return self.histograms[-1]
