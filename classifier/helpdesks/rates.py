"""Reads a vendor's rate-limit headers into one record."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from msgspec import Struct

from classifier.helpdesks.port import Rate

_LONGEST_WAIT_S = 3_600.0  # a wrong clock or header must not stop an account for ever


class RateHeaders(Struct, frozen=True, kw_only=True):
    """The names that a vendor uses; `reset_is` says what its reset header counts."""

    limit: str = ""
    remaining: str = ""
    reset: str = ""
    reset_is: Literal["seconds", "unix"] = "seconds"
    retry_after: str = "retry-after"

    def read(self, headers: Mapping[str, str]) -> Rate:
        """Promise: never raises; what is missing or no number is None."""
        limit, remaining = (_number(headers.get(name)) for name in (self.limit, self.remaining))
        return Rate(
            limit=None if limit is None else int(limit),
            remaining=None if remaining is None else int(remaining),
            reset_s=self._reset_s(headers),
            retry_after_s=_retry_after_s(headers.get(self.retry_after)),
        )

    def _reset_s(self, headers: Mapping[str, str]) -> float | None:
        reset = _number(headers.get(self.reset))
        if reset is None:
            return None
        return _bounded(reset - time.time() if self.reset_is == "unix" else reset)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _retry_after_s(value: str | None) -> float | None:
    """Seconds, or a date (RFC 9110 §10.2.3)."""
    seconds = _number(value)
    if seconds is None and value:
        seconds = _seconds_until(value)
    return None if seconds is None else _bounded(seconds)


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), _LONGEST_WAIT_S)
