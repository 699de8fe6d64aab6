"""Callers that go away in the middle: whoever stays gets the own answer, and nothing is left."""

from __future__ import annotations

from tests.soak.cancel import cut_attempts


def _hush(_line: str) -> None:
    """A test needs no progress."""


async def test_attempts_cut_short() -> None:
    """A cancelled attempt gives its connection back or closes it: no answer reaches another ticket."""
    found = await cut_attempts(300, seed=1, say=_hush)
    assert found.errors == ()
    assert found.cancelled > 100
    assert found.answered > 20
