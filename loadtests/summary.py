"""A run boiled down to what a reader wants to know: rows, stages, curves, money. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from loadtests.claims import NANO, NOTHING, Claim, claims
from loadtests.money import Price, prices, projection
from loadtests.run import Run
from loadtests.samples import Sample, percentile, percentiles, supported

_OK = 200
_FEWEST_BUCKETS, _MOST_BUCKETS, _TICKETS_PER_BUCKET = 24, 96, 30
_MOST_POINTS = 160
_FEWEST_PER_CURVE = 20


@dataclass(frozen=True, kw_only=True)
class Row:
    """Tickets that went the same way. Milliseconds; None where there was nothing to measure."""

    path: str
    way: str
    tickets: int
    failed: int
    latency: tuple[float, ...]  # p50, p95, p99, p99.9 from the instant that they were due
    served: tuple[float, ...]  # p50, p99 of the service's own total
    overhead: tuple[float, ...]  # p50, p99 of the service's own part
    tokens: tuple[float, float] | None
    dollars_per_1000: float | None
    right: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of a ticket's time on one path: p50, p95, p99 in milliseconds, and who measured it."""

    name: str
    by: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Share:
    """Where the time of some tickets went on average; the parts add up to their latency."""

    who: str
    tickets: int
    parts: tuple[tuple[str, float], ...]

    @property
    def model(self) -> float:
        return sum(value for name, value in self.parts if name == "model")

    @property
    def beside(self) -> float:
        """All but the model: what running this service costs in time."""
        return sum(value for _, value in self.parts) - self.model


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of the percentile plot: (percentile, milliseconds)."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A slice of the run."""

    at_s: float
    sent_per_s: float
    failed_per_s: float
    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the page, the Markdown and the terminal show."""

    run: Run
    rows: Sequence[Row]
    everything: Row
    stages: dict[str, Sequence[Stage]]
    shares: Sequence[Share]
    lines: Sequence[Line]
    buckets: Sequence[Bucket]
    prices: Sequence[Price]
    claims: Sequence[Claim]
    late: tuple[float, ...]  # p50, p99, worst
    lag: tuple[float, ...]
    projection: Sequence[tuple[str, str]]


def summarise(run: Run) -> Summary:
    samples = run.samples
    void = "trouble was planted in this run" if run.faults else ""
    if run.verdict and run.verdict.void:
        void = "this run gives no verdict, for the reasons above"
    return Summary(
        run=run,
        rows=_rows(samples),
        everything=_row("all", "", samples),
        stages=_stages(samples),
        shares=_shares(samples),
        lines=_lines(samples),
        buckets=_buckets(run),
        prices=prices(run),
        claims=claims(samples, run.after, void),
        late=_spread(sample.late_ms for sample in samples),
        lag=_spread(run.lags_ms),
        projection=projection(run),
    )


# ---------------------------------------------------------------------------------- the table


def way(sample: Sample) -> tuple[str, str]:
    """The path and how the answer came about; for a failure its problem."""
    if sample.tickets > 1:
        return "several", f"batch of {sample.tickets}"
    is_escalation = sample.escalated and sample.source == "model"
    if not sample.ok:
        return NOTHING, f"{sample.status or 'no answer'} {sample.problem}".strip()
    return sample.path, "escalated" if is_escalation else sample.source


def _rows(samples: Sequence[Sample]) -> list[Row]:
    ordered = sorted(samples, key=way)
    rows = [_row(*key, list(group)) for key, group in groupby(ordered, key=way)]
    return sorted(rows, key=lambda row: (row.path == NOTHING, row.path, -row.tickets))


def _row(path: str, how: str, samples: Sequence[Sample]) -> Row:
    good = [sample for sample in samples if sample.status == _OK]
    judged = [sample.right for sample in samples if sample.right is not None]
    tickets = sum(sample.tickets for sample in good)
    known = [sample for sample in good if sample.nanodollars is not None]
    dollars = sum(sample.nanodollars or 0 for sample in known) / NANO
    return Row(
        path=path,
        way=how,
        tickets=sum(sample.tickets for sample in samples),
        failed=sum(sample.failed for sample in samples),
        latency=supported((sample.latency_ms for sample in samples), 50, 95, 99, 99.9),
        served=_known(good, lambda sample: sample.total_ms, 50, 99),
        overhead=_known(good, lambda sample: sample.overhead_ms, 50, 99),
        tokens=(
            sum(sample.input_tokens for sample in good) / tickets,
            sum(sample.output_tokens for sample in good) / tickets,
        ) if tickets else None,
        dollars_per_1000=1_000 * dollars / sum(one.tickets for one in known) if known else None,
        right=(sum(judged), len(judged)) if judged else None,
    )  # fmt: skip


def _known(
    samples: Iterable[Sample], of: Callable[[Sample], float | None], *percents: float
) -> tuple[float, ...]:
    values = [value for sample in samples if (value := of(sample)) is not None]
    return supported(values, *percents)


def _spread(values: Iterable[float]) -> tuple[float, ...]:
    return percentiles(values, 50, 99, 100)


# --------------------------------------------------------------------------------- the stages


def parts(sample: Sample) -> tuple[tuple[str, float], ...]:
    """A ticket's latency taken apart: client's numbers outside, the service's own inside."""
    total, cache = sample.total_ms or 0.0, sample.cache_ms or 0.0
    overhead, model = sample.overhead_ms or 0.0, sample.model_ms or 0.0
    return (
        ("late", sample.late_ms),
        ("outside", max(0.0, sample.round_trip_ms - total)),
        ("cache", min(cache, overhead)),
        ("own work", max(0.0, overhead - cache)),
        ("model", model),
    )


def _served(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Answered single tickets with the service's own times, by path and way; the frequent ones."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.ok and sample.total_ms is not None:
            path, how = way(sample)
            found.setdefault(path if how == "model" else f"{path}, {how}", []).append(sample)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return {name: group for name, group in ordered if len(group) >= _FEWEST_PER_CURVE}


def _stages(samples: Sequence[Sample]) -> dict[str, Sequence[Stage]]:
    client, service = "generator", "Server-Timing"
    return {
        name: [
            _stage("from the instant due", client, [s.latency_ms for s in group]),
            _stage("from sending", client, [s.round_trip_ms for s in group]),
            _stage("total", service, [s.total_ms for s in group]),
            _stage("model", service, [s.model_ms for s in group]),
            _stage("overhead", service, [s.overhead_ms for s in group]),
            _stage("of it cache", service, [s.cache_ms for s in group]),
            _stage(
                "outside the service", "difference",
                [s.round_trip_ms - s.total_ms for s in group if s.total_ms is not None],
            ),
        ]
        for name, group in _served(samples).items()
    }  # fmt: skip


def _stage(name: str, by: str, values: Sequence[float | None]) -> Stage:
    known = (value for value in values if value is not None)
    return Stage(name=name, by=by, values=supported(known, 50, 95, 99))


def _shares(samples: Sequence[Sample]) -> list[Share]:
    """For each way: tickets around the median, and the slowest in a hundred."""
    found = []
    for name, group in _served(samples).items():
        ordered = sorted(group, key=lambda sample: sample.latency_ms)
        n = len(ordered)
        middle = ordered[math.floor(0.45 * n) : math.ceil(0.55 * n)]
        slowest = ordered[-math.ceil(n / 100) :]
        found += [_share(f"{name}, typical", middle), _share(f"{name}, slowest 1 %", slowest)]
    return found


def _share(who: str, samples: Sequence[Sample]) -> Share:
    columns = zip(*(parts(sample) for sample in samples), strict=True)
    means = tuple(
        (column[0][0], math.fsum(value for _, value in column) / len(samples)) for column in columns
    )
    return Share(who=who, tickets=len(samples), parts=means)


# --------------------------------------------------------------------------------- the curves


def _lines(samples: Sequence[Sample]) -> list[Line]:
    """Latency by percentile, up to the last percentile that a ticket stands for."""
    groups: dict[str, list[float]] = {}
    for sample in samples:
        path, how = way(sample)
        name = "refused" if path == NOTHING else path if how == "model" else f"{path}, {how}"
        groups.setdefault(name, []).append(sample.latency_ms)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [
        Line(name=name, points=_curve(sorted(values)))
        for name, values in ordered
        if len(values) >= _FEWEST_PER_CURVE
    ]


def _curve(ordered: Sequence[float]) -> tuple[tuple[float, float], ...]:
    nines = math.log10(len(ordered))
    steps = (nines * step / _MOST_POINTS for step in range(_MOST_POINTS + 1))
    percents = [100 * (1 - 10**-step) for step in steps]
    return tuple((percent, percentile(ordered, percent)) for percent in percents)


def _buckets(run: Run) -> list[Bucket]:
    count = min(_MOST_BUCKETS, max(_FEWEST_BUCKETS, len(run.samples) // _TICKETS_PER_BUCKET))
    width_s = run.plan.rates.span_s / count
    slices: list[list[Sample]] = [[] for _ in range(count)]
    for sample in run.samples:
        slices[min(count - 1, int(sample.at_s / width_s))].append(sample)
    found = []
    for number, inside in enumerate(slices):
        p50, p95 = percentiles((sample.latency_ms for sample in inside), 50, 95)
        failed = sum(sample.failed for sample in inside)
        sent = sum(sample.tickets for sample in inside)
        found.append(
            Bucket(
                at_s=(number + 0.5) * width_s, sent_per_s=sent / width_s,
                failed_per_s=failed / width_s, p50=p50, p95=p95,
            )
        )  # fmt: skip
    return found
