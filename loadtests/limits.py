"""Limits and how their figures are measured: promises of the service, and of the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from loadtests.samples import Sample, percentiles

Where = Callable[[Sample], bool]
# A broken promise is the service's fault; what does not prove anything leaves no verdict.
Kind = Literal["promise", "validity", "proof"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a run, or a phase of it, left behind. `start_s` is where it begins, and `end_s` ends.

    The whole run knows its phases by name, by how much the service's resident memory grew, and of
    deliveries how many percent ended as a label in their ticket.
    """

    samples: Sequence[Sample]
    lags_ms: Sequence[float] = ()
    start_s: float = 0.0
    end_s: float = 0.0
    phases: Mapping[str, Evidence] = field(default_factory=dict)
    grown_mb: float | None = None
    labelled: float | None = None


Measure = Callable[[Evidence], float | None]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One figure and where it must stay. `phase` looks at that part of the run only."""

    name: str
    of: str
    measure: Measure
    at: float
    unit: str = "ms"
    at_least: bool = False
    phase: str = ""
    kind: Kind = "promise"
    own: bool = False  # set by the caller of this run

    def holds(self, value: float) -> bool:
        return value >= self.at if self.at_least else value <= self.at


# ------------------------------------------------------------------------------ which samples


def answered(sample: Sample) -> bool:
    return sample.ok


def single(sample: Sample) -> bool:
    return sample.ok and sample.tickets == 1


def from_model(path: str) -> Where:
    """Answered by this path alone: no cache, no escalation."""

    def where(sample: Sample) -> bool:
        return (
            sample.ok and sample.path == path and sample.source == "model" and not sample.escalated
        )

    return where


def from_cache(sample: Sample) -> bool:
    return sample.ok and sample.source == "cache"


# ---------------------------------------------------------------------------------- measures


def latency(percent: float, where: Where = answered) -> Measure:
    """From the instant the ticket was due, in milliseconds."""
    return _percentile(percent, where, lambda sample: sample.latency_ms)


def overhead(percent: float, where: Where = answered) -> Measure:
    """The service's own part: its total minus the time awaiting a model."""
    return _percentile(percent, where, lambda sample: sample.overhead_ms)


def served(percent: float, where: Where = answered) -> Measure:
    """The service's total, as it says itself."""
    return _percentile(percent, where, lambda sample: sample.total_ms)


def _percentile(percent: float, where: Where, of: Callable[[Sample], float | None]) -> Measure:
    def measure(evidence: Evidence) -> float | None:
        values = [of(sample) for sample in evidence.samples if where(sample)]
        known = [value for value in values if value is not None]
        return percentiles(known, percent)[0] if known else None

    return measure


def answered_share(evidence: Evidence) -> float | None:
    """Percent of the tickets that got a label."""
    tickets = sum(sample.tickets for sample in evidence.samples)
    good = sum(s.tickets - s.failed for s in evidence.samples if s.status == 200)  # noqa: PLR2004
    return 100 * good / tickets if tickets else None


def share(where: Where, among: Where = answered) -> Measure:
    """Percent of the samples among which it is true."""

    def measure(evidence: Evidence) -> float | None:
        candidates = [sample for sample in evidence.samples if among(sample)]
        return 100 * sum(map(where, candidates)) / len(candidates) if candidates else None

    return measure


def honest(sample: Sample) -> bool:
    """A label, or a refusal that says when to come back; never a crash or a cut connection."""
    refused = sample.status in (429, 503, 504) and sample.problem != "" and sample.retry_after
    return sample.ok or refused


def anything(_: Sample) -> bool:
    return True


def refused(sample: Sample) -> bool:
    """Told to come back later: shed load."""
    return sample.status == 429  # noqa: PLR2004


def round_trip(percent: float, where: Where = answered) -> Measure:
    """From the moment that it was sent, in milliseconds: without the generator's own lateness."""
    return _percentile(percent, where, lambda sample: sample.round_trip_ms)


def goodput(evidence: Evidence) -> float | None:
    """Tickets of this phase that got a label, per second of it."""
    span_s = evidence.end_s - evidence.start_s
    good = sum(sample.tickets - sample.failed for sample in evidence.samples)
    return good / span_s if span_s > 0 and evidence.samples else None


def goodput_kept(under: str, best: str) -> Measure:
    """Goodput of one phase in percent of another one's."""

    def measure(evidence: Evidence) -> float | None:
        kept, most = (goodput(evidence.phases[name]) for name in (under, best))
        return 100 * kept / most if kept is not None and most else None

    return measure


def memory_growth(evidence: Evidence) -> float | None:
    """Megabytes of resident memory that the service had more at the end than at the start."""
    return evidence.grown_mb


def labelled_share(evidence: Evidence) -> float | None:
    """Percent of the accepted deliveries whose tickets carried their label at the end of the run."""
    return evidence.labelled


def recovery_s(evidence: Evidence) -> float | None:
    """Seconds from the start of the phase until the last ticket that got no label was due."""
    if not evidence.samples:
        return None
    failed = (sample.at_s for sample in evidence.samples if not sample.ok)
    return max(failed, default=evidence.start_s) - evidence.start_s


# ---------------------------------------------------------------------- is the run worth anything

LATE_MS = 20.0
LATE_SHARE = 10.0


def from_any_model(sample: Sample) -> bool:
    return sample.ok and sample.source in ("model", "several")


def lateness(percent: float = 99) -> Measure:
    return _percentile(percent, anything, lambda sample: sample.late_ms)


def lateness_share(evidence: Evidence) -> float | None:
    """Lateness p99 in percent of the median latency of what a model answered.

    Cached answers take less time than any generator is late on a shared machine: limits on them
    use the service's own clock, and they say nothing here.
    """
    late, median = lateness()(evidence), latency(50, from_any_model)(evidence)
    return None if late is None or median is None else 100 * late / median


def lag(evidence: Evidence) -> float | None:
    return percentiles(evidence.lags_ms, 99)[0] if evidence.lags_ms else None


VALIDITY = (
    Limit(
        name="late_p99_ms", kind="validity", measure=lateness(), at=LATE_MS,
        of="lateness of the generator, p99",
    ),
    Limit(
        name="late_share", kind="validity", measure=lateness_share, at=LATE_SHARE, unit="%",
        of="that lateness, in percent of the median of model answers",
    ),
    Limit(
        name="lag_p99_ms", kind="validity", measure=lag, at=LATE_MS,
        of="stalls of the generator's own loop, p99",
    ),
)  # fmt: skip


# ------------------------------------------------------------------------------ common promises


def usual(*more: Limit, answered_at: float = 99.9) -> tuple[Limit, ...]:
    """What every scenario without planted trouble promises, and how it is measured."""
    return (
        Limit(
            name="answered", of="tickets that got a label", measure=answered_share,
            at=answered_at, unit="%", at_least=True,
        ),
        Limit(
            name="short_p50_ms", of="short path, asked alone, p50",
            measure=latency(50, from_model("short")), at=150,
        ),
        Limit(
            name="short_p95_ms", of="short path, asked alone, p95",
            measure=latency(95, from_model("short")), at=300,
        ),
        Limit(name="all_p99_ms", of="all single tickets, p99", measure=latency(99, single), at=2_500),
        Limit(name="overhead_p50_ms", of="the service's own part, p50", measure=overhead(50), at=10),
        Limit(name="overhead_p99_ms", of="the service's own part, p99", measure=overhead(99), at=75),
        *more,
        *VALIDITY,
    )  # fmt: skip


def named(limits: Iterable[Limit], *names: str) -> tuple[Limit, ...]:
    return tuple(limit for limit in limits if limit.name in names)
