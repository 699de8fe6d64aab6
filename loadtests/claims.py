"""The four claims against what was measured: holds, does not hold, or cannot be told; and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadtests.limits import from_model
from loadtests.metrics import Page
from loadtests.samples import Sample, mean_interval, median_interval, percentiles

Verdict = Literal["holds", "does not hold", "cannot tell"]
NOTHING = "—"
_FEWEST = 100
NANO = 1e9


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim. `between` holds the true figure with (at least) 95 % confidence."""

    what: str
    claimed: str
    measured: str
    between: str
    verdict: Verdict
    why: str

    @property
    def found(self) -> str:
        """The figure with its interval."""
        return f"{self.measured} ({self.between})" if self.between else self.measured


def claims(samples: Sequence[Sample], page: Page, void: str = "") -> list[Claim]:
    """Judges what the service exports as claims. `void` is why this run proves nothing, if so."""
    claimed_s = page.by("classifier_claim_seconds", "path")
    saving = page.by("classifier_claim_savings_ratio", "").get("")
    found = [_latency(path, limit_s, samples) for path, limit_s in sorted(claimed_s.items())]
    found.sort(key=lambda claim: claim.claimed)
    if {"short", "long"} <= claimed_s.keys():
        found.append(_speed(claimed_s["long"] / claimed_s["short"], samples))
    if saving is not None:
        found.append(_saving(saving, samples))
    if void:
        return [replace(claim, verdict="cannot tell", why=void) for claim in found]
    return found


def _latency(path: str, limit_s: float, samples: Sequence[Sample]) -> Claim:
    what, limit_ms = f"{path} path, median latency", limit_s * 1e3
    claimed = f"{limit_ms:.0f} ms"
    values = [sample.latency_ms for sample in samples if from_model(path)(sample)]
    if len(values) < _FEWEST:
        return _untold(what, claimed, f"{len(values)} tickets, {_FEWEST} are needed")
    low, high = median_interval(values)
    median, p95 = percentiles(values, 50, 95)
    return Claim(
        what=what,
        claimed=claimed,
        measured=f"{median:.1f} ms",
        between=f"{low:.1f} to {high:.1f} ms",
        verdict=_at_most(low, high, limit_ms),
        why=f"{len(values):,} tickets that this path answered alone; p95 is {p95:.0f} ms",
    )


def _speed(factor: float, samples: Sequence[Sample]) -> Claim:
    what, claimed = "short path faster than long", f"{factor:.0f}x"
    short = [sample.latency_ms for sample in samples if from_model("short")(sample)]
    long = [sample.latency_ms for sample in samples if from_model("long")(sample)]
    if min(len(short), len(long)) < _FEWEST:
        return _untold(what, claimed, f"{len(short)} and {len(long)} tickets; {_FEWEST} are needed")
    (short_low, short_high), (long_low, long_high) = median_interval(short), median_interval(long)
    low, high = long_low / short_high, long_high / short_low
    ratio = percentiles(long, 50)[0] / percentiles(short, 50)[0]
    return Claim(
        what=what,
        claimed=claimed,
        measured=f"{ratio:.2f}x",
        between=f"{low:.2f} to {high:.2f}",
        verdict=_at_least(low, high, factor),
        why="Medians of both paths in the same run, on tickets drawn from the same file",
    )


def _saving(claimed_ratio: float, samples: Sequence[Sample]) -> Claim:
    """Routed tickets against the control arm: who is in which was drawn at random."""
    what, claimed = "cheaper than the long path alone", f"{claimed_ratio:.0%}"
    routed, control = costs(samples, "routed"), costs(samples, "control")
    if min(len(routed), len(control)) < _FEWEST:
        return _untold(
            what, claimed,
            f"{len(routed)} routed and {len(control)} control tickets of known cost; {_FEWEST} are needed",
        )  # fmt: skip
    low, ratio, high = ratio_interval(routed, control)
    return Claim(
        what=what,
        claimed=claimed,
        measured=f"{1 - ratio:.1%}",
        between=f"{1 - high:.1%} to {1 - low:.1%}",
        verdict=_at_least(1 - high, 1 - low, claimed_ratio),
        why=(
            f"Mean cost of {len(routed):,} routed tickets (escalations included) against "
            f"{len(control):,} on the long path; shadow calls are listed apart"
        ),
    )


def costs(samples: Sequence[Sample], arm: str) -> list[float]:
    """Dollars per ticket of the answered tickets of an arm whose cost is known."""
    return [
        sample.nanodollars / NANO / sample.tickets
        for sample in samples
        if sample.ok and sample.arm == arm and sample.nanodollars is not None
    ]


def ratio_interval(top: Sequence[float], bottom: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of two means with its 95 % interval: low, ratio, high (delta method on the logarithm)."""
    (a, a_low, _), (b, b_low, _) = mean_interval(top), mean_interval(bottom)
    if not (a > 0 and b > 0):
        return 0.0, 0.0 if b > 0 else math.nan, math.inf
    spread = math.hypot((a - a_low) / a, (b - b_low) / b)
    return a / b * math.exp(-spread), a / b, a / b * math.exp(spread)


def _untold(what: str, claimed: str, why: str) -> Claim:
    return Claim(
        what=what, claimed=claimed, measured=NOTHING, between="", verdict="cannot tell", why=why
    )


def _at_most(low: float, high: float, limit: float) -> Verdict:
    if high <= limit:
        return "holds"
    return "does not hold" if low > limit else "cannot tell"


def _at_least(low: float, high: float, limit: float) -> Verdict:
    if low >= limit:
        return "holds"
    return "does not hold" if high < limit else "cannot tell"
