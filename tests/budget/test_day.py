"""Which day a moment belongs to: the only thing that the wall clock decides."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.budget.day import day_at

HOUR_S = 3_600
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")


def _at(text: str, zone: str = "UTC") -> float:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone)).timestamp()


@given(st.floats(0, 4_000_000_000), st.sampled_from(ZONES), st.integers(0, 23), st.integers(0, 59))
def test_every_moment_has_one_day(now: float, zone: str, hour: int, minute: int) -> None:
    """A moment lies in its day, and the days touch: nothing is counted twice or never."""
    reset = f"{hour:02}:{minute:02}"
    day = day_at(now, zone, reset)
    assert day.covers(now)
    assert day_at(day.ends_at, zone, reset).starts_at == day.ends_at
    assert day_at(day.starts_at - 1, zone, reset).ends_at == day.starts_at


@pytest.mark.parametrize(
    ("now", "name"),
    [("2026-11-23T05:59:59", "2026-11-22"), ("2026-11-23T06:00:00", "2026-11-23")],
)
def test_reset_begins_the_day(now: str, name: str) -> None:
    """Until the reset it is still yesterday."""
    assert day_at(_at(now), "UTC", "06:00").name == name


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_clock_change_keeps_the_day_whole(date: str, hours: int) -> None:
    """Where summer time begins or ends a day has 23 or 25 hours and still one budget."""
    day = day_at(_at(f"{date}T12:00:00", "Europe/Berlin"), "Europe/Berlin", "00:00")
    assert (day.name, day.ends_at - day.starts_at) == (date, hours * HOUR_S)


def test_zone_decides_the_date() -> None:
    """The same moment is Monday in Berlin and still Sunday in New York."""
    now = _at("2026-11-23T02:00:00")
    found = [day_at(now, zone, "00:00").name for zone in ("Europe/Berlin", "America/New_York")]
    assert found == ["2026-11-23", "2026-11-22"]
