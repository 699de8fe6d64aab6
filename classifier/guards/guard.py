"""What one path at one endpoint holds: breaker, budgets for extra calls, latency window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from classifier.config.guards import Hedge
from classifier.config.schema import PathConfig
from classifier.guards import judging
from classifier.guards.breaker import Breaker, Refusal, State
from classifier.guards.bucket import Bucket
from classifier.guards.window import Window
from classifier.ports import GuardObserver
from classifier.records import REPLIED, Attempt, Reason

Granted = Literal["granted", "denied_budget", "denied_deadline", "denied_breaker", "denied_busy"]

# Retries and hedges of a path together: at most a tenth of its calls, and 10 that were saved up.
EXTRA_SHARE, EXTRA_BURST = 0.10, 10
_PRIMARY = ("answer", "escalation", "fallback")
_CALM_S = 10.0  # without 429 and 5xx, before anything extra is asked again
# A call that had so long and did not answer failed: a part of its path's timeout, or so many times
# the 95th percentile.
_ENOUGH_PART, _ENOUGH_TIMES = 0.75, 3.0
_HOPE = 0.5  # of the median: with less time left a call is not worth starting


class Guard:
    """Promise: answers at once, waits for nothing, never raises."""

    def __init__(
        self,
        path: str,
        config: PathConfig,
        observer: GuardObserver,
        now: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._path = path
        self._observer = observer
        self._now = now
        self.window = Window()
        self.breaker = Breaker(config.breaker, now, chance, self._changed)
        self.simulated = False
        self._extra = Bucket(EXTRA_SHARE, EXTRA_BURST)
        self._retries = Bucket(config.retry.share, config.retry.burst)
        self._busy_until = now()
        self._was_calm = True
        hedge = config.hedge or Hedge()  # one that a later config switches on starts with this
        self._hedges = Bucket(hedge.share, hedge.burst)
        self._config = config
        self.configure(config)

    def configure(self, config: PathConfig) -> None:
        """New limits; what is known about the path stays."""
        self._config = config
        self.breaker.config = config.breaker
        # A late answer is still an answer, unless somebody says otherwise: what is too late times out.
        self._slow_s = config.breaker.slow_s or config.timeout_s
        self._retries.limit(config.retry.share, config.retry.burst)
        if config.hedge is not None:
            self._hedges.limit(config.hedge.share, config.hedge.burst)

    # -- every call ------------------------------------------------------------------------

    def refuses(self) -> Refusal | None:
        return self.breaker.refuses()

    def enter(self) -> int:
        """A call begins: in the same step as `refuses`, or several tickets are one breaker's probe."""
        return self.breaker.enter()

    def earn(self, reason: Reason) -> None:
        """A call goes out: a ticket's own earn a part of an extra one."""
        if reason in _PRIMARY:
            self._extra.earn()
            self._retries.earn()
            self._hedges.earn()

    def leave(self, entered: int, attempt: Attempt, given_s: float) -> None:
        """It ended, having had `given_s`."""
        said = judging.verdict(attempt, given_s, self._slow_s, self._enough_s)
        if attempt.outcome in REPLIED:
            self.simulated = attempt.simulated
        if judging.is_busy(attempt):
            self._was_calm = self.is_calm
            self._busy_until = self._now() + _CALM_S
        lasted = attempt.outcome in REPLIED or (attempt.outcome == "timeout" and said == "bad")
        if lasted and attempt.reason in _PRIMARY:
            self.window.add(attempt.duration_s)
        self.breaker.leave(entered, said, judging.reason(attempt), judging.pause_s(attempt))

    def abandon(self, entered: int) -> None:
        """It was cancelled or never sent, which says nothing about the path."""
        self.breaker.leave(entered, "nothing", "cancelled")

    @property
    def floor_s(self) -> float:
        """With less time left no call is started: it could hardly end."""
        return _HOPE * self.window.percentile_s(50) if self.window.is_warm else 0.0

    @property
    def is_calm(self) -> bool:
        """Neither 429 nor 5xx for a while."""
        return self._now() >= self._busy_until

    def skipped(self, why: Refusal | Literal["deadline"]) -> None:
        self._observer.skipped(self._path, why)

    # -- extra calls -----------------------------------------------------------------------

    def asks_to_wait_s(self, attempt: Attempt) -> float | None:
        """The pause of a 429 or 5xx that is worth waiting for; None for all else, and in a storm of them.

        Of the three kinds of 429 a spent quota is not, nor is a model being loaded that does not
        say for how long.
        """
        if attempt.retry_after_s is None and attempt.outcome != "rate_limited":
            return None
        asked_s = judging.pause_s(attempt)
        return asked_s if asked_s and self._was_calm else None

    def retry(self, *, in_time: bool) -> bool:
        """One more call for a ticket whose last one failed; taken from the budget when granted."""
        granted = self._grant(self._retries, in_time=in_time)
        self._observer.retried(self._path, granted)
        return granted == "granted"

    @property
    def hedge_delay_s(self) -> float | None:
        """When a second call starts: max(p95, 1.3 x p50) of the window, within bounds.

        None for a path without a hedge. The factor keeps a path whose calls all take the same time
        from hedging every twentieth for nothing.
        """
        hedge = self._config.hedge
        if hedge is None:
            return None
        if not self.window.is_warm:
            return hedge.warmup_s
        live_s = max(self.window.percentile_s(95), 1.3 * self.window.percentile_s(50))
        return min(max(live_s, hedge.min_delay_s), hedge.max_delay_s)

    def hedge(self, left_s: float, second: Guard) -> bool:
        """Whether a second call may start now; taken from the budget when it may.

        `second`: the guard of its path. Not while either path is sick or asks for less, nor when
        the ticket's time hardly suffices: there it would only be load.
        """
        granted: Granted
        if not (self._is_well and second._is_well):
            granted = "denied_breaker"
        elif not (self.is_calm and second.is_calm):
            granted = "denied_busy"
        else:
            granted = self._grant(self._hedges, in_time=left_s >= second.window.percentile_s(50))
        if granted != "granted":
            self._observer.hedged(self._path, granted)
        return granted == "granted"

    def hedged(self, outcome: Literal["won", "lost", "neither"], waited_s: float | None) -> None:
        """A race is over. `waited_s`: the time to the label, when the second call had it first."""
        if waited_s is not None:
            self.window.add(waited_s)
        self._observer.hedged(self._path, outcome)

    @property
    def _is_well(self) -> bool:
        return self.breaker.state == "closed" and self.refuses() is None

    def _grant(self, bucket: Bucket, *, in_time: bool) -> Granted:
        if not in_time:
            return "denied_deadline"
        if not (bucket.has_one and self._extra.has_one):
            return "denied_budget"
        bucket.take()
        self._extra.take()
        return "granted"

    @property
    def _enough_s(self) -> float:
        enough_s = _ENOUGH_PART * self._config.timeout_s
        if not self.window.is_warm:
            return enough_s
        return min(enough_s, _ENOUGH_TIMES * self.window.percentile_s(95))

    def _changed(self, state: State, reason: str) -> None:
        self._observer.breaker_changed(self._path, state, reason)
