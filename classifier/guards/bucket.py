"""A budget that is a share of the calls, not of the seconds."""

from __future__ import annotations

_PARTS = 1_000_000  # whole numbers: a sum of floats would drift away from the promise


class Bucket:
    """Promise: after n calls at most `share * n + burst` tokens were taken, whatever the schedule.

    Nothing is earned by waiting. The budgets that others publish have a floor per second (Finagle
    10 retries/s, Envoy 3 at once), which at 0.58 tickets/s allows 17 times the traffic itself.
    """

    def __init__(self, share: float, burst: int) -> None:
        self._held = burst * _PARTS
        self.limit(share, burst)

    def limit(self, share: float, burst: int) -> None:
        """Sets the limits anew; what is saved beyond them is lost."""
        self._gain = round(share * _PARTS)
        self._most = burst * _PARTS
        self._held = min(self._held, self._most)

    def earn(self) -> None:
        """One call was made."""
        self._held = min(self._most, self._held + self._gain)

    @property
    def has_one(self) -> bool:
        return self._held >= _PARTS

    def take(self) -> None:
        """One token; only when `has_one`."""
        self._held -= _PARTS
