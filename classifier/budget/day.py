"""Which day it is: the only question for which the wall clock counts."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from msgspec import Struct


class Day(Struct, frozen=True):
    """From one reset to the next, in seconds since 1970. `name` is the date on which it began."""

    name: str
    starts_at: float
    ends_at: float

    def covers(self, now: float) -> bool:
        return self.starts_at <= now < self.ends_at


def day_at(now: float, time_zone: str, resets_at: str) -> Day:
    """The day that a moment lies in. 23 or 25 hours long where a clock change falls into it."""
    zone: tzinfo = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
    reset = time.fromisoformat(resets_at)
    began = datetime.fromtimestamp(now, zone).date()
    if now < _moment(began.toordinal(), reset, zone):
        began -= timedelta(days=1)
    start = _moment(began.toordinal(), reset, zone)
    return Day(began.isoformat(), start, _moment(began.toordinal() + 1, reset, zone))


def _moment(ordinal: int, reset: time, zone: tzinfo) -> float:
    date = datetime.fromordinal(ordinal).date()
    return datetime.combine(date, reset, zone).timestamp()
