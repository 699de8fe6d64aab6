"""A scenario: what arrives when, as which mixture, with which faults and which limits; pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadtests.arrivals import Corner, Curve, curve
from loadtests.limits import Limit
from loadtests.settings import LoadError, Settings
from loadtests.traffic import Texts, Unique

Outage = Literal["redis", "model"]
_UNIQUE = Unique()


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A share of the arrivals and how they are asked for. Which arrival is in which arm is random."""

    name: str
    share: float
    path: str = ""  # `?path=`: past the routes
    batch: int = 1  # tickets in one request
    use_cache: bool = True
    door: str = ""  # a helpdesk's webhook instead of /classify


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the run, from and to as shares of its length."""

    name: str
    start: float
    end: float
    gone: Outage | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What `loadtests/scenarios/*.py` say.

    A compressed scenario stands for `stands_for_s` of real time in which `total` tickets come; a
    direct one (`stands_for_s` = 0) runs at its real rate.
    """

    name: str
    shows: str
    weights: Sequence[Corner]  # (any unit of time, relative rate)
    minutes: float
    arms: Sequence[Arm]
    limits: Sequence[Limit]
    peak: float  # arrivals a second offered at most, unless `--rate` says otherwise
    texts: Texts = _UNIQUE
    phases: Sequence[Phase] = ()
    stands_for_s: float = 0.0
    total: float = 0.0
    config: str = ""  # a file beside the scenarios: a service with a helpdesk behind it
    models: str = ""  # a file beside the scenarios: simulated models other than the shipped ones
    clock_from_s: float | None = None  # time of day at the start, for the charts


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A scenario with the run's wishes applied: what is really sent."""

    scenario: Scenario
    rates: Curve  # of the run, in its own seconds
    real_rates: Curve  # of what it stands for
    compress: float
    share: float  # of the real tickets that is sent
    limits: Sequence[Limit]

    @property
    def count(self) -> int:
        return round(self.rates.total)

    @property
    def tickets_per_arrival(self) -> float:
        """More than 1 where batches are sent."""
        return sum(arm.share * arm.batch for arm in self.scenario.arms)

    @property
    def meaning(self) -> str:
        """What the compression does, in a sentence for the report."""
        if self.scenario.stands_for_s == 0:
            return "Runs at its real rate: nothing is compressed."
        sent = "every ticket" if self.share == 1 else f"{self.share:.1%} of the tickets (at random)"
        return (
            f"1 s stands for {self.compress:,.0f} s, and {sent} is sent: the rate is "
            f"{self.compress * self.share:,.0f} times that of the real one, "
            f"{self.rates.peak:,.0f}/s at the peak instead of {self.real_rates.peak:.2f}/s."
        )


def plan(scenario: Scenario, settings: Settings) -> Plan:
    """Applies minutes, compression, rate and limits. Raises LoadError when they contradict."""
    if settings.minutes and settings.compress:
        raise LoadError("give either --minutes or --compress: one follows from the other")
    limits = _overridden(scenario.limits, settings.limits)
    peak = settings.rate or scenario.peak
    if not scenario.stands_for_s:
        if settings.compress:
            raise LoadError(f"{scenario.name} is not compressed; use --minutes and --rate")
        flat = curve(scenario.weights, 60 * (settings.minutes or scenario.minutes), 1.0)
        rates = flat.times(peak / flat.peak)
        return Plan(
            scenario=scenario, rates=rates, real_rates=rates, compress=1, share=1, limits=limits
        )
    real = curve(scenario.weights, scenario.stands_for_s, scenario.total)
    compress = settings.compress or real.span_s / (60 * (settings.minutes or scenario.minutes))
    share = min(1.0, peak / (real.peak * compress))
    rates = real.faster(compress).times(share)
    return Plan(
        scenario=scenario, rates=rates, real_rates=real, compress=compress, share=share,
        limits=limits,
    )  # fmt: skip


def _overridden(limits: Sequence[Limit], wishes: Mapping[str, float]) -> list[Limit]:
    names = [limit.name for limit in limits]
    if unknown := sorted(set(wishes) - set(names)):
        raise LoadError(f"unknown limit {unknown[0]!r}; there are: {', '.join(names)}")
    return [
        replace(limit, at=wishes[limit.name], own=True) if limit.name in wishes else limit
        for limit in limits
    ]
