"""Waiting with a deadline instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic


async def eventually(
    holds: Callable[[], Awaitable[bool]] | Callable[[], bool], within_s: float = 2.0
) -> None:
    """Asks again and again until it holds; fails when it does not in time."""
    deadline = monotonic() + within_s
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return
        assert monotonic() < deadline, f"not true after {within_s} s: {holds}"
        await asyncio.sleep(0.01)
