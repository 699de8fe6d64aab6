"""Row Guards of the Service board: what keeps paths from being asked, and what is asked on top."""

from __future__ import annotations

from k8s.monitoring.boards.board import Row
from k8s.monitoring.boards.panels import BAD, GOOD, WARN, ask, ask_once, lines, number

_STATE = {"0": ("closed", GOOD), "1": ("half open", WARN), "2": ("open", BAD)}


def row() -> Row:
    per_minute = "60 * sum by ({by}) (rate({name}{{@}}[$__rate_interval]))"
    return Row(
        "Guards",
        number(
            "Breakers",
            "open: the path is left alone; half open: one call at a time. The worst replica counts.",
            "none",
            ask_once("max by (path) (classifier_breaker_state{@})", "{{path}}"),
            words=_STATE,
        ).span(3),
        lines(
            "Breaker changes per minute",
            "The state that a path's breaker took, and why.",
            "short",
            ask(
                per_minute.format(
                    by="path, state, reason", name="classifier_breaker_transitions_total"
                ),
                "{{path}} · {{state}} · {{reason}}",
            ),
        ).span(7),
        lines(
            "Calls not made per minute",
            "open, probing: the breaker kept the path from being asked; paused: a 429 did; "
            "deadline: the ticket had too little time left.",
            "short",
            ask(
                per_minute.format(by="path, reason", name="classifier_attempts_skipped_total"),
                "{{path}} · {{reason}}",
            ),
        ).span(7),
        lines(
            "Retries per minute",
            "granted: the path was asked again; the others were wanted and not made.",
            "short",
            ask(
                per_minute.format(by="path, outcome", name="classifier_retries_total"),
                "{{path}} · {{outcome}}",
            ),
        ).span(7),
        lines(
            "Second calls per minute",
            "Beside calls that take unusually long. won: it had the label first; lost: it was hung "
            "up on; denied: budget spent, path sick, or no time left.",
            "short",
            ask(
                per_minute.format(by="path, outcome", name="classifier_hedges_total"),
                "{{path}} · {{outcome}}",
            ),
        ).span(8),
        lines(
            "Extra calls",
            "Retries and hedges per call of a ticket. Hedges stay below 5 %, both below 10 %, over time.",
            "percentunit",
            ask(
                'sum by (path) (rate(classifier_attempts_total{@, reason=~"retry|hedge"}'
                "[$__rate_interval])) / (sum by (path) (rate(classifier_attempts_total"
                '{@, reason=~"answer|escalation|fallback"}[$__rate_interval])) > 0)',
            ),
        ).span(8),
        lines(
            "Delay of the second call",
            "p95 of the path's last 200 calls, at least 1.3 times their median.",
            "s",
            ask("max by (path) (classifier_hedge_delay_seconds{@})"),
        ).span(8),
    )
