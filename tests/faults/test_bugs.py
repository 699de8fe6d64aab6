"""An error that nobody foresaw: the ticket counts as failed, and the caller's mistakes do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier.cache.memory import MemoryCache
from classifier.errors import NotFound
from classifier.pipeline import Wish
from classifier.records import Answer, Ticket
from tests.support.parts import Remembering, pipeline


class BuggyCache(MemoryCache):
    """A cache with a bug of ours in it: it breaks its promise never to raise."""

    def look_up(self, key: str) -> Answer | None:
        raise ZeroDivisionError


async def test_bug_is_a_failed_ticket(config_file: Path) -> None:
    """Whatever ends in a 500 is in `classifier_tickets_total`, so that the availability alerts see it."""
    seen = Remembering()
    async with pipeline(config_file, seen, BuggyCache(10)) as hallway:
        with pytest.raises(ZeroDivisionError):
            await hallway.classify(Ticket("x"), Wish("classify", 5.0))
        assert hallway.in_flight == 0
    assert (seen.failures, seen.classifications) == (["internal"], [])


async def test_wrong_wish_is_no_failed_ticket(config_file: Path) -> None:
    """A path that does not exist is the caller's mistake: it burns no error budget."""
    seen = Remembering()
    async with pipeline(config_file, seen) as hallway:
        with pytest.raises(NotFound):
            await hallway.classify(Ticket("x"), Wish("classify", 5.0, forced_path="nowhere"))
    assert (seen.failures, seen.classifications) == ([], [])
