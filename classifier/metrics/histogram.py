"""A histogram that renders fast: a scrape must not hold up the tickets.

prometheus_client formats every bucket line anew at each scrape; with the 42 bounds that it takes
to tell 100 ms from 130 ms that stalls the event loop for tens of milliseconds. Here the lines'
fixed parts are made once per series; DECISIONS.md 7 has the figures.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

# Steps of about x1.25 from 0.5 ms to 5 s, with exact bounds at the claims' 0.1, 0.2, 0.4 and at 1.0;
# 0.36 tells 330 ms from 400. A quantile is known to the width of its bucket, no better.
LATENCY_BOUNDS_S = (
    0.0005, 0.00063, 0.00079, 0.001, 0.00125, 0.0016, 0.002, 0.0025, 0.0032, 0.004, 0.005,
    0.0064, 0.008, 0.01, 0.0125, 0.016, 0.02, 0.025, 0.032, 0.04, 0.05, 0.064, 0.08,
    0.1, 0.125, 0.16, 0.2, 0.25, 0.32, 0.36, 0.4, 0.5, 0.64, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0,
    5.0, 10.0,
)  # fmt: skip
RATIO_BOUNDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Series:
    """One child of a histogram: counts per bucket, and the lines it renders to."""

    __slots__ = ("_bounds", "_counts", "_prefixes", "_sum", "_tail")

    def __init__(self, bounds: Sequence[float], prefixes: list[str], tail: tuple[str, str]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._prefixes = prefixes
        self._tail = tail
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self) -> Iterator[str]:
        reached = 0
        for prefix, count in zip(self._prefixes, self._counts, strict=True):
            reached += count
            yield f"{prefix}{reached}"
        yield f"{self._tail[0]}{self._sum!r}"
        yield f"{self._tail[1]}{reached}"


class Histogram:
    """Classic buckets in the Prometheus text format 0.0.4, one series per tuple of label values."""

    def __init__(
        self, name: str, help_text: str, labels: tuple[str, ...], bounds: Sequence[float]
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.labels = labels
        self._bounds = tuple(bounds)
        self._series: dict[tuple[str, ...], Series] = {}

    def series(self, *values: str) -> Series:
        """The child for these label values; made on first use."""
        found = self._series.get(values)
        return found if found is not None else self._new(values)

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help_text}"
        yield f"# TYPE {self.name} histogram"
        for series in list(self._series.values()):
            yield from series.lines()

    def _new(self, values: tuple[str, ...]) -> Series:
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has labels {self.labels}, not {values}")
        pairs = [f'{n}="{_escaped(v)}"' for n, v in zip(self.labels, values, strict=True)]
        bounds = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        prefixes = [
            f"{self.name}_bucket{{{','.join([*pairs, f'le={chr(34)}{b}{chr(34)}'])}}} "
            for b in bounds
        ]
        inner = f"{{{','.join(pairs)}}}" if pairs else ""
        tail = (f"{self.name}_sum{inner} ", f"{self.name}_count{inner} ")
        self._series[values] = Series(self._bounds, prefixes, tail)
        return self._series[values]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
