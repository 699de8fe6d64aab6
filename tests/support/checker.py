"""Holds what clients were told against what the models charged and what the service says of itself.

Three books are kept by three parties: the client's answers, the model server's own statistics, the
service's metrics. Between two quiet moments they must tell the same story.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from classifier.records import REPLIED

# What a caller may be told. Never a 500: that is a bug, whatever the world did.
HONEST = frozenset({200, 429, 503, 504})
LATE_S = 0.05  # what an answer may be later than its deadline on a machine that is not busy
_LABELS = re.compile(r'(\w+)="([^"]*)"')
# Nano-dollars per token of the test's price table: input, cached input, output.
RATES = {"short": (300, 150, 1_200), "long": (150, 75, 600)}


class Told(NamedTuple):
    """One request as its client saw it.

    `seen` is "200 short", "503 no-path-answered" and so on; for `stalled_s` of the time that it
    took, the client stood still itself.
    """

    ticket: str
    expected_label: str
    deadline_s: float
    status: int = 0
    seen: str = ""
    answers: str = ""  # the ticket that the answer says it is for
    label: str = ""
    path: str = ""
    source: str = ""
    took_s: float = 0.0
    stalled_s: float = 0.0


class Charged(NamedTuple):
    """What a model server has worked out for one model, by its own count."""

    calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: object) -> Charged:
        if not isinstance(other, Charged):
            return NotImplemented
        return Charged(*(a + b for a, b in zip(self, other, strict=True)))

    def __sub__(self, other: Charged) -> Charged:
        return Charged(*(a - b for a, b in zip(self, other, strict=True)))

    def nanodollars(self, path: str) -> int:
        fresh, cached, output = RATES["long" if path == "long" else "short"]
        plain = self.input_tokens - self.cached_input_tokens
        return plain * fresh + self.cached_input_tokens * cached + self.output_tokens * output


class Metrics:
    """A page of /metrics: sums over the samples that carry some labels."""

    def __init__(self, page: str) -> None:
        self._samples: list[tuple[str, dict[str, str], float]] = []
        for line in page.splitlines():
            if line and not line.startswith("#"):
                sample, value = line.rsplit(" ", 1)
                name, _, labels = sample.partition("{")
                self._samples.append((name, dict(_LABELS.findall(labels)), float(value)))

    def total(self, name: str, **labels: str) -> float:
        wanted = labels.items()
        return sum(v for n, found, v in self._samples if n == name and wanted <= found.items())


class Books(NamedTuple):
    """Everything that is known at a moment at which nothing is under way."""

    charged: Mapping[str, Charged]  # by path
    metrics: Metrics
    tasks: Counter[str]
    descriptors: int
    resident_bytes: int


def answer_errors(told: Sequence[Told], lag_s: float) -> Iterator[str]:
    """Each request has one honest answer: its own, with the right label, within its deadline.

    `lag_s`: how long the loops of service and client kept timers waiting at worst, added up. An
    answer passes each of them twice; a machine that stood still is no fault of the service's.
    Nor is what its own client spent standing still.
    """
    for one in told:
        if one.status not in HONEST:
            yield f"{one.ticket}: {one.seen}"
        elif one.status == 200 and one.answers != one.ticket:
            yield f"{one.ticket}: got the answer to {one.answers}"
        elif one.status == 200 and one.label != one.expected_label:
            yield f"{one.ticket}: {one.label}, not {one.expected_label}"
        late_s = one.took_s - one.deadline_s
        if late_s > LATE_S + one.stalled_s + 2 * lag_s:
            stood_ms = (one.stalled_s + 2 * lag_s) * 1e3
            yield f"{one.ticket}: {late_s * 1e3:.0f} ms late (of which {stood_ms:.0f} ms excused)"


def book_errors(before: Books, after: Books, told: Sequence[Told]) -> Iterator[str]:
    """The three parties agree about what happened between two quiet moments."""
    yield from _count_errors(before, after, told)
    yield from money_errors(before, after)


def money_errors(before: Books, after: Books) -> Iterator[str]:
    """Booked = charged on every path, whoever waited for the answers."""
    for path in after.charged:
        yield from _money_errors(before, after, path)


def leaks(before: Books, after: Books, spare_descriptors: int) -> Iterator[str]:
    """Nothing is left behind: no task, and no more connections than a pool may keep."""
    left = after.tasks - before.tasks
    if left:
        yield f"tasks left behind: {dict(left)}"
    more = after.descriptors - before.descriptors
    if more > spare_descriptors:
        yield f"{more} descriptors more than before"


def _count_errors(before: Books, after: Books, told: Sequence[Told]) -> Iterator[str]:
    def grown(name: str, **labels: str) -> float:
        return after.metrics.total(name, **labels) - before.metrics.total(name, **labels)

    statuses = Counter(f"{one.status // 100}xx" for one in told if one.status)
    for status in ("2xx", "4xx", "5xx"):
        served = grown("classifier_http_requests_total", route="/classify", status=status)
        if served != statuses[status]:
            yield f"clients were told {statuses[status]} times {status}, the service says {served:g}"
    answered = sum(one.status == 200 for one in told)
    counted = sum(
        grown("classifier_tickets_total", source=s) for s in ("model", "cache", "coalesced")
    )
    if counted != answered:
        yield f"{answered} tickets have a label, the service counts {counted:g}"
    if after.metrics.total("classifier_tickets_in_flight"):
        yield "tickets are still counted as in flight"


def _money_errors(before: Books, after: Books, path: str) -> Iterator[str]:
    """Booked = charged, and what was charged for answers that never came whole is counted apart."""
    charged = after.charged[path] - before.charged.get(path, Charged())
    booked = _booked(after.metrics, path) - _booked(before.metrics, path)
    unknown = _unknown(after.metrics, path) - _unknown(before.metrics, path)
    missing = charged.calls - booked.calls
    if not 0 <= missing <= unknown:
        yield (
            f"{path}: the model charged {charged.calls} calls; {booked.calls} replies are booked, "
            f"and {unknown} attempts of unknown cost"
        )
    if booked != charged and not unknown:
        yield f"{path}: charged {charged}, booked {booked}"
    if any(b > c for b, c in zip(booked, charged, strict=True)):
        yield f"{path}: more is booked than was charged: {booked}, {charged}"
    cost = _nanodollars(after.metrics, path) - _nanodollars(before.metrics, path)
    if cost != booked.nanodollars(path):
        yield f"{path}: {cost} nano-dollars for {booked}"


def _booked(metrics: Metrics, path: str) -> Charged:
    def tokens(kind: str) -> int:
        return round(metrics.total("classifier_tokens_total", path=path, kind=kind))

    replied = sum(
        metrics.total("classifier_attempts_total", path=path, outcome=outcome)
        for outcome in REPLIED
    )
    return Charged(round(replied), tokens("input"), tokens("cached_input"), tokens("output"))


def _unknown(metrics: Metrics, path: str) -> int:
    return round(metrics.total("classifier_uncertain_costs_total", path=path, status="unknown"))


def _nanodollars(metrics: Metrics, path: str) -> int:
    return round(metrics.total("classifier_cost_dollars_total", path=path) * 1e9)
