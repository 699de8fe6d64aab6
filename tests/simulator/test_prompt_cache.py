from __future__ import annotations

import pytest

from classifier.simulator.prompt_cache import Hit, PromptCache


@pytest.mark.parametrize(("tokens", "cached"), [(1_023, 0), (1_024, 1_024), (1_200, 1_152)])
def test_steps_of_128_from_1024(tokens: int, cached: int) -> None:
    """Shorter prefixes are never cached, longer ones in whole steps."""
    cache = PromptCache()
    assert cache.look("p", tokens, 0.0) == Hit(written=cached)
    assert cache.look("p", tokens, 1.0) == Hit(read=cached)


def test_five_minutes_after_the_last_use() -> None:
    """Every use starts the five minutes anew; afterwards the prefix is written again."""
    cache = PromptCache()
    cache.look("p", 2_048, 0.0)
    assert cache.look("p", 2_048, 299.0).read == 2_048
    assert cache.look("p", 2_048, 599.0).read == 2_048
    assert cache.look("p", 2_048, 900.0) == Hit(written=2_048)


def test_prefixes_do_not_share() -> None:
    """One prefix does not warm another."""
    cache = PromptCache()
    cache.look("p", 2_048, 0.0)
    assert cache.look("q", 2_048, 0.0).read == 0


def test_memory_is_bounded() -> None:
    """Ten thousand prefixes are kept; the one that was not used for longest goes first."""
    cache = PromptCache()
    for number in range(10_001):
        cache.look(number, 1_024, 0.0)
    assert cache.look(0, 1_024, 1.0).read == 0
    assert cache.look(10_000, 1_024, 1.0).read == 1_024
