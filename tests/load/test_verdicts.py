"""A run that holds, one that is broken, and one that proves nothing."""

from __future__ import annotations

import math

import pytest

from loadtests.limits import Evidence, honest, lateness_share, recovery_s
from loadtests.samples import Sample, percentile, percentiles, supported
from loadtests.verdict import BROKEN, HOLDS, NO_VERDICT, judge, number
from tests.load.making import many, plan_of, refused, sample

QUIET = [0.5] * 200


def code(samples: list[Sample], lags_ms: list[float] | None = None, scenario: str = "day") -> int:
    """The exit code of a run with these samples."""
    return judge(plan_of(scenario), samples, QUIET if lags_ms is None else lags_ms).code


def test_good_run_holds() -> None:
    """Everything in its limits: 0."""
    assert code(many()) == HOLDS


def test_slow_answers_break_it() -> None:
    """A model that takes two seconds more: 1, and the reason says which limit."""
    slow = [one._replace(latency_ms=one.latency_ms + 2_000) for one in many()]
    verdict = judge(plan_of("day"), slow, QUIET)
    assert verdict.code == BROKEN
    assert any("short path, asked alone, p50" in reason for reason in verdict.reasons)


def test_failed_tickets_break_it() -> None:
    """One in a hundred without a label is too many."""
    assert code([*many(), *[refused() for _ in range(4)]]) == BROKEN


def test_dead_service_breaks_it() -> None:
    """Nothing measured but failures is a broken promise, not a missing one."""
    dead = [refused(status=0, problem="ConnectionRefusedError") for _ in range(200)]
    assert code(dead) != HOLDS


@pytest.mark.parametrize("late_ms", [21.0, 60.0])
def test_late_generator_gives_no_verdict(late_ms: float) -> None:
    """Whatever the service did: its figures cannot be told from the generator's."""
    late = [one._replace(late_ms=late_ms) for one in many()]
    assert code(late) == NO_VERDICT
    broken = [one._replace(latency_ms=one.latency_ms + 2_000) for one in late]
    assert code(broken) == NO_VERDICT


def test_lateness_is_compared_with_what_is_measured() -> None:
    """15 ms are too late for a median of 100 ms and not for one of 400 ms."""
    late = [sample(100.0, late_ms=15.0) for _ in range(200)]
    assert lateness_share(Evidence(samples=late)) == pytest.approx(15.0)
    assert code(late) == NO_VERDICT
    slow = [sample(400.0, late_ms=15.0) for _ in range(200)]
    assert lateness_share(Evidence(samples=slow)) == pytest.approx(3.75)


def test_cached_answers_do_not_void_a_run() -> None:
    """They are shorter than any generator is late; the service's own clock judges them."""
    cached = [sample(1.0, source="cache") for _ in range(900)]
    found = lateness_share(Evidence(samples=[*cached, *[sample(100.0)] * 100]))
    assert found == pytest.approx(0.5)


def test_stalled_generator_gives_no_verdict() -> None:
    """Its own loop was held up, although no ticket was due just then."""
    assert code(many(), [0.5] * 90 + [80.0] * 10) == NO_VERDICT


def test_cut_run_gives_no_verdict() -> None:
    """Half a day is not a day."""
    verdict = judge(plan_of("day"), many(), QUIET, "interrupted")
    assert (verdict.code, verdict.reasons) == (NO_VERDICT, ["interrupted"])
    assert code([]) == NO_VERDICT


def test_what_was_not_measured_gives_no_verdict() -> None:
    """A promise about the short path needs tickets on the short path."""
    assert code([sample(400.0, path="long") for _ in range(200)]) == NO_VERDICT


def outage(refusals: int = 60, **changes: object) -> list[Sample]:
    """90 s, of which the model is gone from 49.5 to 67.5 s; one ticket a tenth of a second."""
    found = []
    for tenth in range(900):
        at_s, gone = tenth / 10, 49.5 <= tenth / 10 < 67.5
        if gone and tenth % 100 < refusals:
            found.append(refused(at_s, **changes))
        elif tenth % 3 == 0:
            found.append(sample(3.0, at_s=at_s, source="cache", total_ms=0.5, overhead_ms=0.5))
        else:
            found.append(sample(100.0, at_s=at_s))
    return found


def test_honest_outage_holds() -> None:
    """Refused with a time to come back, and over when it is over."""
    assert code(outage(), scenario="outage") == HOLDS


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 500, "problem": "internal"},
        {"status": 0, "problem": "ConnectionResetError"},
        {"retry_after": False},
        {"latency_ms": 9_000.0},
    ],
)
def test_dishonest_outage_is_broken(changes: dict[str, object]) -> None:
    """Crashes, cut connections, no Retry-After, or a refusal that took its time."""
    assert code(outage(**changes), scenario="outage") == BROKEN  # type: ignore[arg-type]


def test_outage_that_did_not_happen_proves_nothing() -> None:
    """Without refusals the models were never gone."""
    assert code(outage(refusals=0), scenario="outage") == NO_VERDICT


def test_slow_recovery_is_broken() -> None:
    """Eleven seconds after the models are back somebody is still refused."""
    assert code([*outage(), refused(67.5 + 11)], scenario="outage") == BROKEN


def test_recovery_is_the_last_refusal() -> None:
    """Counted from the moment that the trouble ended."""
    after = [sample(at_s=50.0), refused(53.0), sample(at_s=60.0)]
    assert recovery_s(Evidence(samples=after, start_s=50.0)) == pytest.approx(3.0)
    assert recovery_s(Evidence(samples=[sample(at_s=50.0)], start_s=50.0)) == 0
    assert recovery_s(Evidence(samples=[])) is None


def test_honesty() -> None:
    """A label, or a refusal that says when to come back."""
    assert honest(sample())
    assert honest(refused())
    assert not honest(refused(retry_after=False))
    assert not honest(refused(status=500))


def test_percentiles_are_nearest_rank() -> None:
    """The smallest value with at least so many percent at or below it."""
    assert percentiles(range(1, 101), 50, 95, 99, 100) == (50, 95, 99, 100)
    assert percentile([7.0], 99) == 7
    assert math.isnan(percentile([], 50))


def test_percentiles_without_support_are_not_given() -> None:
    """p99.9 of 400 tickets would be their maximum under another name."""
    p50, p99, p999 = supported(range(1, 401), 50, 99, 99.9)
    assert (p50, p99) == (200, 396)
    assert math.isnan(p999)
    assert not math.isnan(supported(range(1_000), 99.9)[0])


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.12"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1,234")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """Enough to compare, not more than was measured."""
    assert number(value) == text
    assert number(math.nan) == "—"
