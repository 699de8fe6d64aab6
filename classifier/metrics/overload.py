"""What happens at the gate before the models: slots, queue, waiting, refusals."""

from __future__ import annotations

from classifier.admission.gate import PRIORITIES, Gate, Priority, Shed
from classifier.metrics.maker import Maker
from classifier.records import Door


class OverloadMetrics:
    """The AdmissionObserver of one app."""

    def __init__(self, make: Maker) -> None:
        self._limit = make.gauge(
            "classifier_concurrency_limit_slots",
            "Tickets that may ask a model at once; follows the models' latency.",
        )
        self._bound = make.gauge(
            "classifier_concurrency_limit_bound_slots",
            "The configured bounds of that limit.",
            ("bound",),
        )
        self._in_use = make.gauge(
            "classifier_concurrency_used_slots", "Tickets that hold a slot now.", ("priority",)
        )
        self._queue = make.gauge(
            "classifier_admission_queue_tickets", "Tickets that wait for a slot now.", ("priority",)
        )
        self._ratio = make.gauge(
            "classifier_model_latency_ratio",
            "Latency of the models over each path's usual one, as the limit sees it; 1 is usual.",
        )
        self._wait = make.histogram(
            "classifier_admission_wait_seconds",
            "Time that admitted tickets waited for a slot.",
            ("priority",),
        )
        self._shed = make.counter(
            "classifier_shed_tickets_total",
            "Tickets (and whole batches) refused with 429, by door and reason.",
            ("door", "reason"),
        )

    def watch(self, gate: Gate) -> None:
        self._limit.set_function(lambda: gate.limit.value)
        self._ratio.set_function(lambda: gate.limit.ratio)
        self._bound.labels("min").set_function(lambda: gate.config.min_concurrency)
        self._bound.labels("max").set_function(lambda: gate.config.max_concurrency)
        for priority in PRIORITIES:
            self._watch_one(gate, priority)

    def admitted(self, priority: Priority, queued_s: float) -> None:
        self._wait.series(priority).observe(queued_s)

    def shed(self, door: Door, reason: Shed) -> None:
        self._shed.labels(door, reason).inc()

    def _watch_one(self, gate: Gate, priority: Priority) -> None:
        self._in_use.labels(priority).set_function(lambda: gate.held[priority])
        self._queue.labels(priority).set_function(lambda: gate.waiting(priority))
