"""Limits against a run: what holds, what is broken, and when a run says nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.limits import Evidence, Limit
from loadtests.samples import Sample
from loadtests.scenario import Phase, Plan

HOLDS, BROKEN, NO_VERDICT = 0, 1, 3
WORDS = {HOLDS: "holds", BROKEN: "broken", NO_VERDICT: "no verdict"}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One limit and what was measured; None where there was nothing to measure."""

    limit: Limit
    value: float | None

    @property
    def ok(self) -> bool:
        return self.value is not None and self.limit.holds(self.value)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The exit code and its reasons."""

    code: int
    checks: Sequence[Check]
    reasons: Sequence[str]

    @property
    def word(self) -> str:
        return WORDS[self.code]

    @property
    def void(self) -> str:
        """Why nothing can be concluded; empty when something can."""
        return "; ".join(self.reasons) if self.code == NO_VERDICT else ""


def judge(
    plan: Plan,
    samples: Sequence[Sample],
    lags_ms: Sequence[float],
    cut: str = "",
    grown_mb: float | None = None,
    labelled: float | None = None,
) -> Verdict:
    """A run that was cut short, or whose generator was the bottleneck, gives no verdict."""
    phases = {phase.name: _part(plan, phase.name, samples) for phase in plan.scenario.phases}
    whole = Evidence(
        samples=samples, lags_ms=lags_ms, phases=phases, grown_mb=grown_mb, labelled=labelled
    )
    checks = [
        Check(limit=limit, value=limit.measure(phases[limit.phase] if limit.phase else whole))
        for limit in plan.limits
    ]
    missing = [] if samples else ["no ticket was sent"]
    missing += [cut] if cut else []
    missing += [
        _reason(check) for check in checks if check.limit.kind != "promise" and not check.ok
    ]
    broken = [check for check in checks if check.limit.kind == "promise" and not check.ok]
    unknown = [_reason(check) for check in broken if check.value is None]
    if missing:
        return Verdict(code=NO_VERDICT, checks=checks, reasons=missing)
    if len(broken) > len(unknown):
        reasons = [_reason(check) for check in broken if check.value is not None]
        return Verdict(code=BROKEN, checks=checks, reasons=reasons)
    return Verdict(code=NO_VERDICT if unknown else HOLDS, checks=checks, reasons=unknown)


def _part(plan: Plan, phase: str, samples: Sequence[Sample]) -> Evidence:
    start_s, end_s = bounds(plan, phase)
    inside = [sample for sample in samples if start_s <= sample.at_s < end_s]
    return Evidence(samples=inside, start_s=start_s, end_s=end_s)


def bounds(plan: Plan, phase: str) -> tuple[float, float]:
    """From when to when a phase lasts, in seconds of the run."""
    found: Phase = next(one for one in plan.scenario.phases if one.name == phase)
    return found.start * plan.rates.span_s, found.end * plan.rates.span_s


def _reason(check: Check) -> str:
    limit = check.limit
    where = f" ({limit.phase})" if limit.phase else ""
    if check.value is None:
        return f"{limit.of}{where}: nothing to measure"
    word = "at least" if limit.at_least else "at most"
    value, at = figure(check.value, limit.unit), figure(limit.at, limit.unit)
    return f"{limit.of}{where}: {value}, {word} {at} allowed"


def figure(value: float, unit: str) -> str:
    """With its unit; shares to a hundredth of a percent, because 99.96 is not 100."""
    return f"{value:.2f} %" if unit == "%" else f"{number(value)} {unit}"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value != value:  # noqa: PLR0124 -- not a number
        return "—"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f}"
