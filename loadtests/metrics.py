"""The service's own metrics page, read before and after a run: claims, spending, versions."""

from __future__ import annotations

import re
import urllib.request

_SAMPLE = re.compile(r"^(?P<name>[a-z_:]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TIMEOUT_S = 5.0

Labels = frozenset[tuple[str, str]]


class Page:
    """One scrape. Empty when there was none: then nothing is known, which is not 0."""

    def __init__(self, text: str = "") -> None:
        self.samples: dict[tuple[str, Labels], float] = {}
        for line in text.splitlines():
            if found := _SAMPLE.match(line):
                labels = frozenset(_LABEL.findall(found["labels"] or ""))
                self.samples[found["name"], labels] = float(found["value"])

    def __bool__(self) -> bool:
        return bool(self.samples)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that carry these labels."""
        wanted = set(labels.items())
        return sum(
            value for (one, found), value in self.samples.items() if one == name and wanted <= found
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums per value of one label."""
        sums: dict[str, float] = {}
        for (one, found), value in self.samples.items():
            if one == name:
                key = dict(found).get(label, "")
                sums[key] = sums.get(key, 0.0) + value
        return sums

    def since(self, before: Page) -> Page:
        """What was added meanwhile; only counters make sense of it."""
        found = Page()
        found.samples = {
            key: value - before.samples.get(key, 0.0) for key, value in self.samples.items()
        }
        return found


def scrape(target: str) -> Page:
    """`GET /metrics`. An empty page when it cannot be had: the report then goes without."""
    try:
        url = f"{target.rstrip('/')}/metrics"
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 -- the caller's own target
            return Page(response.read().decode())
    except (OSError, ValueError):
        return Page()
