"""Connections and keys: who is let in, who is cut off and why."""

from __future__ import annotations

from classifier.metrics.maker import Maker

REASONS = (
    "silent", "slow_head", "slow_body", "slow_reader", "idle", "crowded", "refused",
    "head_too_large", "malformed",
)  # fmt: skip
KEY_FAULTS = ("missing", "wrong")


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

        refused = make.counter(
            "classifier_key_refusals_total",
            "Requests without a key, or with a wrong one.",
            ("reason",),
        )
        self._refused = {reason: refused.labels(reason) for reason in KEY_FAULTS}
        self._keys = make.gauge("classifier_api_keys", "Keys that open the ticket doors.")

    def connected(self, now_open: int, most: int) -> None:
        self._open.set(now_open)
        self._most.set(most)

    def cut(self, reason: str) -> None:
        self._cut[reason].inc()

    def draining(self, *, draining: bool) -> None:
        self._draining.set(int(draining))

    def key_refused(self, reason: str) -> None:
        self._refused[reason].inc()

    def keys_live(self, count: int) -> None:
        self._keys.set(count)
