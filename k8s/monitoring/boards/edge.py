"""The row about the server's edge: connections, and why the service ended some."""

from __future__ import annotations

from k8s.monitoring.boards.board import Row
from k8s.monitoring.boards.panels import GOOD, WARN, ask, ask_once, lines, number


def connections() -> Row:
    """What clients hold open, and what they were not allowed to."""
    return Row(
        "Connections",
        number(
            "Ending",
            "Replicas that drain: not ready, every answer the last of its connection.",
            "none",
            ask_once("sum(classifier_draining{@})"),
            steps=((None, GOOD), (1, WARN)),
            decimals=0,
        ),
        number(
            "Keys",
            "Bearer keys that open; different numbers on replicas: a rotation is under way.",
            "none",
            ask_once("max(classifier_api_keys{@})"),
            decimals=0,
        ),
        lines(
            "Open connections",
            "By replica. At the limit those that idle or dawdle the longest make room; when all are "
            "being answered, new ones get 503.",
            "short",
            ask("classifier_connections{@}", "{{instance}}"),
            ask("max(classifier_connections_limit{@})", "limit of one replica"),
            dashed="limit.*",
        ).span(16),
        lines(
            "Connections that the service ended, per minute",
            "idle: nothing came after an answer, as it should be; silent, slow_head, slow_body: no "
            "request within the receipt's time; slow_reader: an answer was not read; crowded: made "
            "room for another; refused: no room at all; malformed, head_too_large: no request.",
            "short",
            ask(
                "60 * sum by (reason) (rate(classifier_connections_cut_total{@}[$__rate_interval]))"
            ),
            stacked=True,
        ).span(12),
        lines(
            "Requests without a valid key, per minute",
            "missing: no key at all; wrong: one that does not open, for example one that was "
            "rotated out. ClassifierKeysRefused stands at one a second.",
            "short",
            ask("60 * sum by (reason) (rate(classifier_key_refusals_total{@}[$__rate_interval]))"),
            stacked=True,
        ).span(12),
    )
