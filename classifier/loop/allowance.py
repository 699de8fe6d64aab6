"""How fast an account may be written to: our share of its limit, the rest is the agents'."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from classifier.helpdesks.port import Rate

_UNKNOWN_PER_MINUTE = 60.0  # until the vendor says otherwise
_WINDOW_S = 60.0


class Allowance:
    """A token bucket per account and process, led by what the vendor's headers say.

    The bucket holds a share of a minute's limit and never more than a few seconds' worth. When the
    vendor says that less than the agents' share is left, nothing is written until its window ends:
    that holds across processes, since the remaining number is the whole account's.

    `per_minute`: the account's limit as configured; without it the vendor's usual one, until its
    headers say another.
    """

    def __init__(
        self,
        per_minute: float | None,
        share: float,
        usual_per_minute: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._configured = per_minute
        self._share = share
        self._clock = clock
        self._per_minute = per_minute or usual_per_minute or _UNKNOWN_PER_MINUTE
        self._level = self._burst
        self._filled_at = clock()
        self._closed_until = 0.0

    @property
    def per_minute(self) -> float:
        """Writes per minute that we may make now."""
        return self._per_minute * self._share

    @property
    def _burst(self) -> float:
        return max(1.0, self.per_minute / _WINDOW_S * 5.0)

    def take(self) -> float:
        """0.0 and a token is taken; else how many seconds to wait for one."""
        now = self._clock()
        if now < self._closed_until:
            return self._closed_until - now
        per_s = max(self.per_minute, 0.1) / _WINDOW_S
        self._level = min(self._burst, self._level + (now - self._filled_at) * per_s)
        self._filled_at = now
        if self._level < 1.0:
            return (1.0 - self._level) / per_s
        self._level -= 1.0
        return 0.0

    def heard(self, rate: Rate | None, retry_after_s: float | None = None) -> None:
        """What an answer said about the limit."""
        if retry_after_s is not None:
            self._close(retry_after_s)
        if rate is None:
            return
        if rate.limit is not None and self._configured is None and rate.limit > 0:
            self._per_minute = float(rate.limit)
        limit = rate.limit if rate.limit is not None else self._per_minute
        if rate.remaining is not None and rate.remaining <= limit * (1.0 - self._share):
            self._close(rate.reset_s if rate.reset_s is not None else 1.0)

    def _close(self, pause_s: float) -> None:
        self._closed_until = max(self._closed_until, self._clock() + min(pause_s, 600.0))
