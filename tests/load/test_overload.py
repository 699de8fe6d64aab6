from __future__ import annotations

import pytest

from loadtests.limits import Evidence, Limit, goodput, goodput_kept, memory_growth, refused
from loadtests.samples import Sample
from loadtests.scenarios.overload import SCENARIO
from loadtests.verdict import BROKEN, HOLDS, NO_VERDICT, judge
from tests.load.making import plan_of, sample

PLAN = plan_of("overload")
SPAN_S = PLAN.rates.span_s


def shed(at_s: float, took_ms: float = 3.0) -> Sample:
    """A refusal as the service gives it."""
    return sample(
        took_ms, at_s=at_s, round_trip_ms=took_ms, status=429, failed=1, path="", source="",
        problem="overloaded", retry_after=True,
    )  # fmt: skip


def run(step_rate: float = 36.0, shed_ms: float = 3.0, *, late: bool = False) -> list[Sample]:
    """A whole run: quiet, at capacity, quiet, ten times as much, quiet."""
    found: list[Sample] = []
    for start, end, answered, refusals in (
        (0.0, 0.15, 18, 0), (0.15, 0.35, 36, 18), (0.35, 0.45, 18, 0),
        (0.45, 0.80, step_rate, 324), (0.80, 1.0, 18, 0),
    ):  # fmt: skip
        first, seconds = start * SPAN_S, (end - start) * SPAN_S
        found += [
            sample(at_s=first + n / answered) for n in range(int(answered * seconds)) if answered
        ]
        found += [
            shed(first + n / refusals, shed_ms) for n in range(int(refusals * seconds)) if refusals
        ]
    return [*found, shed(0.95 * SPAN_S)] if late else found


def verdict(samples: list[Sample], grown_mb: float = 3.0) -> int:
    """The exit code of such a run."""
    return judge(PLAN, samples, [1.0] * 100, grown_mb=grown_mb).code


def test_goodput_that_stays_holds() -> None:
    """As many labels a second as at capacity, refusals in milliseconds, quiet afterwards."""
    assert verdict(run()) == HOLDS


@pytest.mark.parametrize(
    "samples", [run(step_rate=30.0), run(shed_ms=80.0), run(late=True)],
    ids=["less goodput", "slow refusals", "refusals long after"],
)  # fmt: skip
def test_what_breaks_it(samples: list[Sample]) -> None:
    """Less goodput, slow refusals, refusals long after the step: each is a broken promise."""
    assert verdict(samples) == BROKEN


def test_memory_that_grows_breaks_it() -> None:
    """The service's resident memory may not grow by more than the limit."""
    assert verdict(run(), grown_mb=100.0) == BROKEN


def test_no_overload_proves_nothing() -> None:
    """A run in which nobody was refused gives no verdict: it was no overload."""
    assert verdict([one for one in run() if not refused(one)]) == NO_VERDICT


def test_goodput_counts_labels_per_second() -> None:
    """Refused tickets and other phases' answers count for nothing."""
    part = Evidence(samples=[sample(), sample(), shed(0.0)], start_s=1.0, end_s=2.0)
    assert goodput(part) == 2.0
    whole = Evidence(samples=[], phases={"a": part, "b": Evidence(samples=[], end_s=1.0)})
    assert goodput_kept("a", "a")(whole) == 100
    assert goodput_kept("b", "a")(whole) is None
    assert memory_growth(whole) is None


def test_capacity_is_measured_first() -> None:
    """The step is ten times the rate that the models are good for, after a phase at their limit."""
    names = [phase.name for phase in SCENARIO.phases]
    assert names.index("at capacity") < names.index("step")
    assert PLAN.rates.peak == pytest.approx(360)
    assert all(isinstance(limit, Limit) for limit in SCENARIO.limits)
