"""The service's own books over a day in virtual time, and what they must agree with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from classifier.records import REPLIED, Attempt, Classification, Door
from tests.soak.vendor import Vendor
from tests.support.parts import Remembering

_PRIMARY = ("answer", "escalation", "fallback")
_EXTRA = ("retry", "hedge")


class Budget:
    """A promise about every window of the calls: at most `share` of them extra, and `burst`.

    The most that any window holds above the share is the highest climb of a sum that falls by
    `share` with each call and rises by 1 with each extra one: one pass finds it.
    """

    def __init__(self, share: float, burst: int) -> None:
        self.share, self.burst = share, burst
        self.highest = 0.0
        self._climbed = 0.0

    def call(self) -> None:
        self._climbed = max(0.0, self._climbed - self.share)

    def extra(self) -> None:
        self._climbed += 1.0
        self.highest = max(self.highest, self._climbed)


class Tally(Remembering):
    """The Observer of a day: sums, where the one of the tests remembers everything.

    `is_fair` tells whether a path's vendor gives no reason to complain.
    """

    def __init__(
        self,
        now: Callable[[], float],
        is_fair: Callable[[str], bool],
        slow_s: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.opened = 0
        self.most_under_way = 0
        self.bad_at_s = dict.fromkeys(slow_s, 0.0)  # when a call last went wrong, by path
        self._slow_s = slow_s
        self._now = now
        self._is_fair = is_fair
        self._booked: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._classified = 0
        self._failed = 0
        self._extra = {path: Budget(0.10, 10) for path in ("short", "long")}
        self._hedges = {path: Budget(0.05, 3) for path in ("short", "long")}
        self._false_trips: list[str] = []
        self._states: dict[str, str] = {}

    # -- Observer --------------------------------------------------------------------------

    def attempted(self, attempt: Attempt) -> None:
        path, reason = attempt.path, str(attempt.reason)
        self.calls[path, reason] += 1
        if attempt.cost.nanodollars is None or attempt.cost.status == "estimated":
            self._unknown[path] += 1
        else:
            self._booked[path] += attempt.cost.nanodollars
        if attempt.outcome not in REPLIED or attempt.duration_s > self._slow_s[path]:
            self.bad_at_s[path] = self._now()
        if reason in _PRIMARY:
            self._extra[path].call()
            self._hedges[path].call()
        elif reason in _EXTRA:
            self._extra[path].extra()
            if reason == "hedge":
                self._hedges[path].extra()

    def classified(self, classification: Classification, door: Door) -> None:
        self._classified += 1

    def failed(self, door: Door, outcome: str, total_s: float) -> None:
        self._failed += 1

    def shadowed(self, path: str, agreement: str) -> None:
        """Counted as an attempt where one was made."""

    def cache_operation(self, tier: str, operation: str, outcome: str, duration_s: float) -> None:
        """The cache of a day keeps no books."""

    def cache_away(self, *, away: bool) -> None:
        """It is in process."""

    def breaker_changed(self, path: str, state: str, reason: str) -> None:
        was, self._states[path] = self._states.get(path, "closed"), state
        if state == "open":
            self.opened += 1
            if was == "closed" and self._is_fair(path):
                self._false_trips.append(f"{path} opened ({reason}) at {self._now():.1f} s")

    def retried(self, path: str, outcome: str) -> None:
        """Counted as an attempt where one was made."""

    def skipped(self, path: str, why: str) -> None:
        """No attempt was made."""

    # -- what must agree -------------------------------------------------------------------

    def differences(self, path: str, vendor: Vendor) -> Iterator[str]:
        """Booked is what the vendor is due, and what nobody knows is counted one by one."""
        calls = sum(count for (name, _), count in self.calls.items() if name == path)
        if calls != vendor.calls:
            yield f"{path}: {vendor.calls} calls arrived, {calls} are booked"
        if self._booked[path] != vendor.due_nanodollars:
            yield f"{path}: due {vendor.due_nanodollars}, booked {self._booked[path]} nano-dollars"
        if self._unknown[path] != vendor.unsettled.total():
            yield f"{path}: {vendor.unsettled} unsettled, {self._unknown[path]} of unknown cost"
        if vendor.under_way:
            yield f"{path}: {vendor.under_way} calls were never ended"

    def broken_promises(self, tickets: int) -> Iterator[str]:
        """Extra calls stay a share of the calls in every window; no breaker opens for nothing."""
        early = 0.1 * self.most_under_way  # a call counts when it begins, here when it has ended
        for path, budget in self._extra.items():
            if budget.highest > budget.burst + early:
                yield f"{path}: {budget.highest:.1f} extra calls above {budget.share:.0%}"
        for path, budget in self._hedges.items():
            if budget.highest > budget.burst + early:
                yield f"{path}: {budget.highest:.1f} hedges above {budget.share:.0%}"
        asked = sum(n for (_, reason), n in self.calls.items() if reason in ("answer", *_EXTRA))
        if asked > 1.10 * tickets + 10:
            yield f"{asked} first, repeated and hedged calls for {tickets} tickets"
        if self._classified + self._failed > tickets:
            yield f"{self._classified} + {self._failed} outcomes of {tickets} tickets"
        yield from self._false_trips
