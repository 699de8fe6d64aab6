from __future__ import annotations

import math
from random import Random
from statistics import median, quantiles

import pytest

from classifier.simulator.config import Latency
from classifier.simulator.latency import LatencyModel


def draws(config: Latency, number: int = 4_001, seed: int = 1) -> list[float]:
    """Times of calls one second apart, each with 100 tokens in and 1 out."""
    model = LatencyModel(config, Random(seed))
    return [model.draw_s(100, 1, float(now_s)) for now_s in range(number)]


def test_same_seed_draws_the_same() -> None:
    """A run can be repeated to the microsecond, and another seed is another run."""
    config = Latency(base_ms=100, sigma=0.3, slow_share=0.1, stall_share=0.1, stall_ms=1_000)
    assert draws(config, 50) == draws(config, 50)
    assert draws(config, 50) != draws(config, 50, seed=2)


def test_median_grows_with_the_tokens() -> None:
    """Half of the answers take no longer than base, prompt and output together."""
    config = Latency(base_ms=80, per_input_token_us=100, per_output_token_ms=10, sigma=0.25)
    assert LatencyModel(config, Random(1)).median_s(100, 1) == pytest.approx(0.1)
    assert median(draws(config)) == pytest.approx(0.1, rel=0.02)


def test_spread_is_lognormal() -> None:
    """p95 lies exp(1.645 sigma) above the median, p5 as far below it."""
    cuts = quantiles(draws(Latency(base_ms=100, sigma=0.3), 20_001), n=20)
    assert cuts[18] / cuts[9] == pytest.approx(math.exp(1.645 * 0.3), rel=0.03)
    assert cuts[9] / cuts[0] == pytest.approx(math.exp(1.645 * 0.3), rel=0.03)


def test_without_sigma_there_is_no_spread() -> None:
    """A model without spread and tail always takes the same time."""
    assert set(draws(Latency(base_ms=100), 100)) == {0.1}


def test_tail_has_its_share() -> None:
    """Slow answers and stalls come as often as configured and cost what is configured."""
    config = Latency(base_ms=100, slow_share=0.05, slow_factor=10, stall_share=0.02, stall_ms=5_000)
    found = draws(config, 20_001)
    slow = sum(time_s == pytest.approx(1.0) for time_s in found) / len(found)
    stalled = sum(time_s > 5.0 for time_s in found) / len(found)
    assert slow == pytest.approx(0.05 * 0.98, abs=0.006)
    assert stalled == pytest.approx(0.02, abs=0.004)


def test_first_calls_are_slow() -> None:
    """A model is slow until it is warm, and again after an idle time."""
    config = Latency(base_ms=100, slow_start_calls=2, slow_start_factor=5, idle_s=60)
    model = LatencyModel(config, Random(1))
    times = [model.draw_s(0, 0, now_s) for now_s in (0, 1, 2, 62, 123, 124, 125)]
    assert times == pytest.approx([0.5, 0.5, 0.1, 0.1, 0.5, 0.5, 0.1])
