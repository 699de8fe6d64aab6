"""What tickets cost, and what a real day of 50,000 of them would."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadtests.arrivals import curve
from loadtests.claims import NANO, costs, ratio_interval
from loadtests.limits import from_model
from loadtests.run import Run
from loadtests.samples import mean_interval
from loadtests.scenarios import day

_DAY_S = 86_400
_MEAN = day.TICKETS / _DAY_S
_PEAK = curve(day.HOURS, _DAY_S, day.TICKETS).peak


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a way of answering costs: dollars a ticket with interval, and the day's projection."""

    what: str
    per_ticket: tuple[float, float, float]  # mean, low, high
    saving: float | None
    tickets: int

    @property
    def per_day(self) -> tuple[float, ...]:
        return tuple(day.TICKETS * value for value in self.per_ticket)


def prices(run: Run) -> list[Price]:
    """As routed, on the short path alone and on the long path alone, where there are tickets for it."""
    control = costs(run.samples, "control")
    short = [
        sample.nanodollars / NANO
        for sample in run.samples
        if from_model("short")(sample) and sample.nanodollars is not None
    ]
    groups = {
        "as routed, escalations and cache included": costs(run.samples, "routed"),
        "tickets that the short path answered alone": short,
        "long path for every ticket (control)": control,
    }
    return [_price(what, values, control) for what, values in groups.items() if len(values) > 1]


def _price(what: str, values: Sequence[float], control: Sequence[float]) -> Price:
    is_base = values is control or len(control) < 2 or not any(control)  # noqa: PLR2004
    saving = None if is_base else 1 - ratio_interval(values, control)[1]
    return Price(what=what, per_ticket=mean_interval(values), saving=saving, tickets=len(values))


def projection(run: Run) -> list[tuple[str, str]]:
    """What the figures mean on a real day."""
    return list(_projection(run)) if run.samples else []


def _projection(run: Run) -> Iterator[tuple[str, str]]:
    offered = run.plan.rates.peak
    usual = f"{_MEAN:.2f} tickets/s on average, {_PEAK:.2f}/s at its peak"
    yield (
        "rate",
        f"{usual}; this run offered up to {offered:.0f} arrivals/s, {offered / _PEAK:.0f} times that",
    )
    mean_s = math.fsum(sample.latency_ms for sample in run.samples) / 1e3 / len(run.samples)
    yield "under way", f"{_PEAK * mean_s:.2f} tickets at once at the peak (rate times mean latency)"
    tickets = sum(sample.tickets for sample in run.samples)
    if used_s := run.cpu.get("service"):
        each_s = used_s / tickets
        of_a_day = f"{each_s * day.TICKETS:.0f} s of one core a day, {each_s * _PEAK:.1%} of it at the peak"
        yield "processor", f"{1e3 * each_s:.2f} ms of the service a ticket: {of_a_day}"
    shadow = run.after.since(run.before).total("classifier_cost_dollars_total", reason="shadow")
    if run.is_alone and shadow > 0:
        dollars = shadow / tickets * day.TICKETS
        yield "shadow calls", f"${dollars:.2f} a day beside the answers, not in the figures above"
