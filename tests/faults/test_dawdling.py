"""Slow clients beside callers, in their short form; a thousand: `python -m tests.soak.dawdling`."""

from __future__ import annotations

from pathlib import Path

from tests.soak.dawdling import run

LIMITS = "\n[connections]\nreceive_timeout_s = 1.0\nmost = 40\n"


async def test_dawdlers_are_cut_and_callers_are_served(tmp_path: Path) -> None:
    """120 trickling and silent sockets on 40 places: all ended soon, no caller without an answer."""
    (met,) = await run(120, 1, 1.0, tmp_path, LIMITS)
    assert met.failed == 0
    assert met.turned_away <= 3
    assert met.longest_s < 15
    assert met.grown_mib < 64
    assert sum(met.ends.values()) >= 120
