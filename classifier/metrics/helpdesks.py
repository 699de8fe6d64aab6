"""The helpdesk loop's metrics: deliveries, queues, write-backs, corrections, the ledger."""

from __future__ import annotations

from typing import get_args

from classifier.inbox.queues import Depth, Durability, QueueName
from classifier.metrics.maker import Maker

# From a delivery to its label in the ticket: seconds on a good day, hours on a bad one.
_LOOP_BOUNDS_S = (
    0.1,
    0.25,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1_800.0,
    7_200.0,
    86_400.0,
)


class HelpdeskMetrics:
    """The LoopObserver and LedgerObserver of one app."""

    def __init__(self, make: Maker) -> None:
        self._deliveries = make.counter(
            "classifier_webhook_deliveries_total",
            "Requests to webhooks by account and what became of them.",
            ("account", "outcome"),
        )
        self._acknowledged = make.histogram(
            "classifier_webhook_acknowledge_duration_seconds",
            "Time until a webhook was answered, the event safe.",
            ("account",),
        )
        self._depth = make.gauge(
            "classifier_queue_entries",
            "Entries of the inbox and the outbox: waiting, alone (of these in quarantine), "
            "claimed, dead.",
            ("queue", "state"),
        )
        self._oldest = make.gauge(
            "classifier_queue_oldest_seconds",
            "Age of the oldest entry that is neither done nor dead.",
            ("queue",),
        )
        self._durability = make.gauge(
            "classifier_inbox_durability",
            "1 at what was found at start: durable, unsafe (events are lost with their Redis), unknown.",
            ("found",),
        )
        self._ended = make.counter(
            "classifier_queue_ended_total",
            "Entries that a worker let go of, by outcome; `dead_…` are dead letters.",
            ("queue", "outcome"),
        )
        self._worked = make.histogram(
            "classifier_queue_work_duration_seconds",
            "Time that an entry was in a worker's hands.",
            ("queue",),
        )
        self._looped = make.histogram(
            "classifier_loop_duration_seconds",
            "Time from the delivery of a ticket until it carries its label.",
            ("account",),
            _LOOP_BOUNDS_S,
        )
        self._writes = make.counter(
            "classifier_write_backs_total",
            "Write-backs by account and status, retried ones included.",
            ("account", "status"),
        )
        self._allowed = make.gauge(
            "classifier_write_backs_allowed_per_minute",
            "Our share of the account's limit.",
            ("account",),
        )
        self._corrections = make.counter(
            "classifier_corrections_total",
            "Label changes in the helpdesk: corrected, removed, echo (our own).",
            ("account", "kind"),
        )
        self._lines = make.counter(
            "classifier_ledger_lines_total",
            "Lines of the ledger by kind: written, dropped (queue full), failed (file).",
            ("kind", "outcome"),
        )
        for outcome in ("dropped", "failed"):  # from 0 on, or no rate would see the first loss
            self._lines.labels("classification", outcome)

    def delivery(self, account: str, outcome: str, duration_s: float) -> None:
        self._deliveries.labels(account, outcome).inc()
        self._acknowledged.series(account).observe(duration_s)

    def inbox_opened(self, found: Durability) -> None:
        for each in get_args(Durability):
            self._durability.labels(each).set(each == found)

    def queue_depth(self, queue: QueueName, depth: Depth) -> None:
        for state in ("waiting", "alone", "claimed", "dead"):
            self._depth.labels(queue, state).set(getattr(depth, state))
        self._oldest.labels(queue).set(depth.oldest_s)

    def entry_ended(self, queue: QueueName, outcome: str, duration_s: float) -> None:
        self._ended.labels(queue, outcome).inc()
        self._worked.series(queue).observe(duration_s)

    def looped(self, account: str, age_s: float) -> None:
        self._looped.series(account).observe(age_s)

    def write_back(self, account: str, status: str) -> None:
        self._writes.labels(account, status).inc()

    def writes_allowed(self, account: str, per_minute: float) -> None:
        self._allowed.labels(account).set(per_minute)

    def correction(self, account: str, kind: str) -> None:
        self._corrections.labels(account, kind).inc()

    def ledger_lines(self, kind: str, outcome: str, count: int) -> None:
        self._lines.labels(kind, outcome).inc(count)
