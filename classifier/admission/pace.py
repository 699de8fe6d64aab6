"""Whether the event loop keeps up with what comes: the queue before our own code.

Controlled delay (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012): a queue
that empties now and then is a burst, and wanted; one that has not done so for a whole interval only
makes everybody wait. The queue here is the loop's, and what is measured is how long it takes to go
round once. As in Maurer, "Fail at Scale", ACM Queue 13(8), 2015, such a queue is then cut to the
target at once: CoDel's own law drops ever faster, which suits senders that slow down when they are
refused. Ours is one that does not.
"""

from __future__ import annotations

from classifier.config.overload import Overload

INTERVAL_S = 0.1  # both articles' figure
_WEIGHT = 0.1


class Pace:
    """Pure and synchronous; moments are passed in. `turned` is to be told of every turn under load."""

    def __init__(self, config: Overload) -> None:
        self.config = config
        self.standing = False  # for an interval no turn was short
        self.taken = 0  # requests let in during this turn
        self._turn_s = 0.0
        self._turned_at = float("-inf")
        self._cost_s = 0.0  # of one request, everything else that a turn does included
        self._changing_since: float | None = None

    def turned(self, turn_s: float, now: float) -> None:
        """The loop went round in `turn_s` and is about to begin anew."""
        if now - turn_s - self._turned_at > INTERVAL_S:  # it was idle meanwhile
            self.standing, self._changing_since = False, None
        self._turn_s, self._turned_at = turn_s, now
        if self.taken:
            self._cost_s += _WEIGHT * (turn_s / self.taken - self._cost_s)
            self.taken = 0
        self._judge(is_long=turn_s > self.config.turn_limit_s, now=now)

    def is_late(self, now: float, turn_began: float | None) -> bool:
        """Whether the last turn, or this one so far, takes longer than it should."""
        recent_s = self._turn_s if now - self._turned_at < INTERVAL_S else 0.0
        so_far_s = 0.0 if turn_began is None else now - turn_began
        return max(recent_s, so_far_s) > self.config.turn_target_s

    @property
    def is_spent(self) -> bool:
        """Whether this turn has let in what fits into one, while more than that keeps coming."""
        return self.standing and self.taken * self._cost_s >= self.config.turn_limit_s

    def _judge(self, *, is_long: bool, now: float) -> None:
        """The other state after an interval in which every turn spoke for it."""
        if is_long is self.standing:
            self._changing_since = None
        elif self._changing_since is None:
            self._changing_since = now
        elif now - self._changing_since >= INTERVAL_S:
            self.standing, self._changing_since = is_long, None
