"""A claim holds, does not hold, or cannot be told, by the whole interval."""

from __future__ import annotations

import math
from random import Random

import pytest

from loadtests.claims import Claim, claims, ratio_interval
from loadtests.metrics import Page
from loadtests.samples import Sample, mean_interval, median_interval
from tests.load.making import CLAIMS, sample

PAGE = Page(CLAIMS)


def spread(median_ms: float, count: int, **changes: object) -> list[Sample]:
    """Samples around a median."""
    random = Random(1)
    return [sample(median_ms * random.lognormvariate(0, 0.1), **changes) for _ in range(count)]


def run(short_ms: float, long_ms: float, saving: float, count: int = 600) -> list[Sample]:
    """Both paths with these medians; the short one cheaper by this share."""
    control = spread(long_ms, count, arm="control", path="long", nanodollars=100_000)
    cheap = round(100_000 * (1 - saving))
    return [*spread(short_ms, count, nanodollars=cheap), *control]


def verdicts(found: list[Claim]) -> dict[str, str]:
    """By what is claimed."""
    return {claim.claimed: claim.verdict for claim in found}


def test_all_four_claims_are_judged() -> None:
    """100 ms, 400 ms, four times as fast, 90 % cheaper: as the service exports them."""
    found = verdicts(claims(run(80, 360, 0.93), PAGE))
    assert found == {"100 ms": "holds", "400 ms": "holds", "4x": "holds", "90%": "holds"}


def test_claims_can_fail() -> None:
    """Each by its own figure."""
    found = verdicts(claims(run(130, 430, 0.70), PAGE))
    assert set(found.values()) == {"does not hold"}


def test_close_calls_cannot_be_told() -> None:
    """An interval on both sides of the claim decides nothing."""
    found = verdicts(claims(run(100, 400, 0.90, count=150), PAGE))
    assert (found["100 ms"], found["400 ms"], found["4x"]) == ("cannot tell",) * 3


def test_few_tickets_tell_nothing() -> None:
    """And the reason says how many are missing."""
    found = claims(run(80, 360, 0.93, count=40), PAGE)
    assert {claim.verdict for claim in found} == {"cannot tell"}
    assert "40 tickets" in found[0].why


def test_void_run_tells_nothing() -> None:
    """What was measured is shown, but it decides nothing."""
    found = claims(run(80, 360, 0.93), PAGE, "the generator was late")
    assert {(claim.verdict, claim.why) for claim in found} == {
        ("cannot tell", "the generator was late")
    }
    assert found[0].measured.startswith("79") or found[0].measured.startswith("80")


def test_nothing_is_claimed_by_nobody() -> None:
    """Without the service's metrics there are no claims: they are never made up here."""
    assert claims(run(80, 360, 0.93), Page()) == []


def test_escalated_and_cached_answers_do_not_flatter_a_path() -> None:
    """Latency of a path is that of tickets which it answered alone."""
    cached = spread(1, 500, source="cache", nanodollars=0)
    escalated = spread(900, 500, path="long", escalated=True)
    mixed = claims([*run(130, 430, 0.70), *cached, *escalated], PAGE)
    assert verdicts(mixed)["100 ms"] == "does not hold"
    assert mixed[1].measured == claims(run(130, 430, 0.70), PAGE)[1].measured


def test_median_interval_covers_the_median() -> None:
    """At least 93 of 100 times, for a skewed distribution."""
    random = Random(2)
    covered = 0
    for _ in range(400):
        low, high = median_interval(random.lognormvariate(0, 1) for _ in range(80))
        covered += low <= 1 <= high
    assert covered / 400 > 0.93


def test_too_few_values_have_no_interval() -> None:
    """Five values say little about a median, one about a mean."""
    assert median_interval([1.0, 2.0]) == (0.0, math.inf)
    assert mean_interval([1.0]) == (1.0, -math.inf, math.inf)


def test_ratio_interval_covers_the_ratio() -> None:
    """Of two means, both uncertain."""
    random = Random(3)
    covered = 0
    for _ in range(300):
        top = [random.gauss(10, 2) for _ in range(100)]
        bottom = [random.gauss(100, 20) for _ in range(100)]
        low, _, high = ratio_interval(top, bottom)
        covered += low <= 0.1 <= high
    assert covered / 300 > 0.92


@pytest.mark.parametrize("top", [[0.0, 0.0], [0.0]])
def test_free_tickets_have_no_infinite_ratio(top: list[float]) -> None:
    """All cached: the ratio is 0, not an error."""
    assert ratio_interval(top, [1.0, 2.0])[1] == 0


def test_metrics_are_read_as_prometheus_writes_them() -> None:
    """Labels, escapes, exponents; sums by label; differences of counters."""
    page = Page('# HELP x y\nx{a="1",b="c\\"d"} 2e-05\nx{a="2",b="c"} 3\ny 4\n')
    assert page.total("x", a="2") == 3
    assert page.by("x", "a") == {"1": 2e-05, "2": 3.0}
    assert page.since(Page("y 1\n")).total("y") == 3
    assert not Page()
