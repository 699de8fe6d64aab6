"""Leaves a path alone that fails, and finds out when it is back.

            5 in a row, half of the last 20, hopeless
    closed ──────────────────────────────────────────▶ open ◀──┐
      ▲                                                 │  ▲     │ the call failed: twice the pause
      │ a second one succeeds         pause over: one call │  └──┘
      └───────────────────────── half open ◀──────────────┘ it succeeds

A 429 is a pause, not a failure: the server is well and says when to come back. A 5xx that says so
is both: one call is enough to stay away, and a server that only ever says so is found out about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from classifier.config.guards import Breaker as BreakerConfig

State = Literal["closed", "half_open", "open"]
Refusal = Literal["open", "paused", "probing"]
# What one call says about its path; see `judging`.
Verdict = Literal["good", "bad", "pause", "hopeless", "nothing"]

_UNHEARD = -1  # the generation of nobody
_JITTER = 0.1  # of a pause: replicas that lost a server together do not come back together


class Breaker:
    """State of one path at one endpoint.

    `now`: seconds of a monotonic clock. `chance`: uniform in [0, 1). `changed` is told every change
    of state with its reason.
    """

    def __init__(
        self,
        config: BreakerConfig,
        now: Callable[[], float],
        chance: Callable[[], float],
        changed: Callable[[State, str], None],
    ) -> None:
        self.config = config
        self.state: State = "closed"
        self.reason = ""
        self.since = now()
        self._now = now
        self._chance = chance
        self._changed = changed
        self._generation = 0
        self._failed: deque[bool] = deque()
        self._in_a_row = 0
        self._opened = 0  # times in a row without having closed in between
        self._open_until = 0.0
        self._paused_until = 0.0
        self._probing = False
        self._successes = 0

    def refuses(self) -> Refusal | None:
        """Why no call may be made now; None when one may."""
        now = self._now()
        if self.state == "open" and now < self._open_until:
            return "open"
        if now < self._paused_until:
            return "paused"
        return "probing" if self._probing else None

    @property
    def refuses_for_s(self) -> float:
        """How long it will at least refuse."""
        until = max(self._paused_until, self._open_until if self.state == "open" else 0.0)
        return max(0.0, until - self._now())

    def enter(self) -> int:
        """A call begins; the number is handed back when it ends.

        One that slipped in beside the probe, or came when all were to stay away, says nothing.
        """
        if self.state == "closed":
            return self._generation
        if self.refuses() is not None:
            return _UNHEARD
        self._probing = True
        return self._generation

    def leave(self, entered: int, verdict: Verdict, reason: str, pause_s: float = 0.0) -> None:
        """A call ended. What began before the last change of state says nothing about now."""
        if verdict == "hopeless":
            self.open(reason, hopeless=True)
            return
        if pause_s:  # a 5xx may ask for one, too, and counts as a failure besides
            self._paused_until = max(self._paused_until, self._now() + pause_s)
        if entered != self._generation:
            return
        self._probing = False
        if verdict == "good":
            self._succeeded()
        elif verdict == "bad":
            self._fail(reason)

    def open(self, reason: str, *, hopeless: bool = False) -> None:
        """At once, whatever the window says; open already, it only stays so."""
        pause_s = self.config.hopeless_s if hopeless else self._pause_s()
        self._opened += 1
        self._open_until = self._now() + pause_s * (1 - _JITTER * self._chance())
        self._become("open", reason)

    def _pause_s(self) -> float:
        doubled_s = self.config.open_s * 2.0 ** min(self._opened, 20)
        return min(doubled_s, self.config.max_open_s)

    def _succeeded(self) -> None:
        if self.state == "closed":
            self._note(failed=False)
            self._in_a_row = 0
            return
        successes = self._successes + 1
        if successes >= self.config.successes:
            self._opened = 0
            self._become("closed", "recovered")
        elif self.state == "open":
            self._become("half_open", "recovered")
            self._successes = successes
        else:
            self._successes = successes

    def _fail(self, reason: str) -> None:
        if self.state != "closed":
            self.open(reason)
            return
        self._note(failed=True)
        self._in_a_row += 1
        if self._in_a_row >= self.config.failures_in_a_row or self._fails_too_often():
            self.open(reason)

    def _note(self, *, failed: bool) -> None:
        self._failed.append(failed)
        while len(self._failed) > self.config.window:
            self._failed.popleft()

    def _fails_too_often(self) -> bool:
        calls = len(self._failed)
        return (
            calls >= self.config.min_calls
            and sum(self._failed) >= self.config.failure_share * calls
        )

    def _become(self, state: State, reason: str) -> None:
        was = self.state, self.reason
        self._generation += 1
        self._probing = False
        self._successes = 0
        self._in_a_row = 0
        self._failed.clear()
        if (state, reason) == was:
            return
        if state != self.state:
            self.since = self._now()
        self.state = state
        self.reason = reason if state != "closed" else ""
        self._changed(state, reason)
