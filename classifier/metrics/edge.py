"""Connections: how many are open, who is cut off and why."""

from __future__ import annotations

from classifier.metrics.maker import Maker

REASONS = (
    "silent", "slow_head", "slow_body", "slow_reader", "idle", "crowded", "refused",
    "head_too_large", "malformed",
)  # fmt: skip


class EdgeMetrics:
    """Every reason stands on the page from the start: a first event is a rise from 0."""

    def __init__(self, make: Maker) -> None:
        self._open = make.gauge("classifier_connections", "HTTP connections that are open.")
        self._most = make.gauge(
            "classifier_connections_limit", "Connections that may be open at once."
        )
        cut = make.counter(
            "classifier_connections_cut_total",
            "Connections that the service ended by itself, by reason.",
            ("reason",),
        )
        self._cut = {reason: cut.labels(reason) for reason in REASONS}
        self._draining = make.gauge(
            "classifier_draining", "1 while the service finishes what it has, and then ends."
        )

    def connected(self, now_open: int, most: int) -> None:
        self._open.set(now_open)
        self._most.set(most)

    def cut(self, reason: str) -> None:
        self._cut[reason].inc()

    def draining(self, *, draining: bool) -> None:
        self._draining.set(int(draining))
