"""Rows of the dashboard Service about load that is too much: slots, queue, refusals."""

from __future__ import annotations

from k8s.monitoring.boards.board import Row
from k8s.monitoring.boards.panels import ask, lines, quantile


def overload() -> Row:
    return Row(
        "Overload",
        lines(
            "Slots before the models",
            "Tickets that ask a model at this moment against how many may, over all replicas. The "
            "limit shrinks when the models take longer under load than they usually do.",
            "short",
            ask("sum by (priority) (classifier_concurrency_used_slots{@})", "in use: {{priority}}"),
            ask("sum(classifier_concurrency_limit_slots{@})", "limit"),
        ),
        lines(
            "Tickets refused per minute, by reason",
            "queue_full, queue_slow, waited: no slot in time; too_late: none before the ticket's own "
            "deadline; in_flight: too many tickets in the process; batches: too many batches; late: refused "
            "unread, because the event loop was behind.",
            "short",
            ask(
                "60 * sum by (door, reason) (rate(classifier_shed_tickets_total{@}[$__rate_interval]))",
                "{{door}} · {{reason}}",
            ),
            stacked=True,
        ),
        lines(
            "Waiting for a slot",
            "p99 of the tickets that got one: single tickets wait 0.1 s at most, lines of a batch longer.",
            "s",
            ask(
                quantile(0.99, "classifier_admission_wait_seconds", by="priority"),
                "{{priority}} p99",
            ),
        ),
        lines(
            "Tickets in the queue",
            "Waiting for a slot at this moment, over all replicas.",
            "short",
            ask("sum by (priority) (classifier_admission_queue_tickets{@})"),
            stacked=True,
        ),
        lines(
            "Latency of the models over their usual",
            "What the limit follows: 1 is usual, and above the tolerance (1.5) it shrinks while it is "
            "in use. The highest of the replicas.",
            "short",
            ask("max(classifier_model_latency_ratio{@})", "ratio"),
        ),
        lines(
            "Limit of each replica",
            "Against its bounds. At the lower one for long: the models cannot take what is sent.",
            "short",
            ask("classifier_concurrency_limit_slots{@}", "{{instance}}"),
            ask("max by (bound) (classifier_concurrency_limit_bound_slots{@})", "{{bound}}"),
        ),
    )
