"""A rolling restart behind a real HAProxy, in its short form; long: `python -m tests.soak.rolling`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.rolling import HAPROXY, roll


async def test_rolling_restart_drops_nothing(tmp_path: Path) -> None:
    """A replica is replaced under 40 requests a second; nobody retries, nobody fails."""
    if HAPROXY is None:
        # The README promises tests that need only Python; CI installs it and so skips nothing.
        pytest.skip("no haproxy on the PATH (Debian: apt-get install haproxy)")
    found = await roll(1, 40.0, tmp_path)
    assert found.failed == 0, found.answers
    assert found.asked >= 50
    assert found.exit_codes == {0: 1}
