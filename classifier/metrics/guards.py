"""What keeps paths from being asked, and what is asked on top: breakers, retries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from classifier.guards.guard import Guard
from classifier.metrics.maker import Maker
from classifier.paths.path import Path

_STATES = {"closed": 0, "half_open": 1, "open": 2}


class GuardMetrics:
    """The GuardObserver's part of the metrics."""

    def __init__(self, make: Maker) -> None:
        self._state = make.gauge(
            "classifier_breaker_state",
            "The path's breaker: 0 closed, 1 half open (one call at a time), 2 open (left alone).",
            ("path",),
        )
        self._transitions = make.counter(
            "classifier_breaker_transitions_total",
            "Changes of a path's breaker by the state it took and why.",
            ("path", "state", "reason"),
        )
        self._retries = make.counter(
            "classifier_retries_total",
            "Retries that a failed call asked for: granted, or denied by budget or deadline.",
            ("path", "outcome"),
        )
        self._hedges = make.counter(
            "classifier_hedges_total",
            "Calls that took unusually long, by what came of it: the second call won, lost, neither "
            "gave a label, or there was none because of budget, breaker, 429/5xx or deadline.",
            ("path", "outcome"),
        )
        self._delay = make.gauge(
            "classifier_hedge_delay_seconds",
            "When the second call would start now; paths without a hedge have none.",
            ("path",),
        )
        self._skipped = make.counter(
            "classifier_attempts_skipped_total",
            "Calls that were not made: breaker open, probing or paused by a 429, or no time left.",
            ("path", "reason"),
        )

    def configured(self, paths: Mapping[str, Path]) -> None:
        """A config went live: every path has a state from its first moment on."""
        for name, path in paths.items():
            self._state.labels(name).set(_STATES[path.guard.breaker.state])
        self._delay.clear()
        for name, path in paths.items():
            if path.config.hedge is not None:
                self._delay.labels(name).set_function(partial(_delay_s, path.guard))

    def forget(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._state.remove(path)

    def breaker_changed(self, path: str, state: str, reason: str) -> None:
        self._state.labels(path).set(_STATES[state])
        self._transitions.labels(path, state, reason).inc()

    def retried(self, path: str, outcome: str) -> None:
        self._retries.labels(path, outcome).inc()

    def hedged(self, path: str, outcome: str) -> None:
        self._hedges.labels(path, outcome).inc()

    def skipped(self, path: str, why: str) -> None:
        self._skipped.labels(path, why).inc()


def _delay_s(guard: Guard) -> float:
    return guard.hedge_delay_s or 0.0
