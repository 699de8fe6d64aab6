"""Dashboard Service: is it up, is it quick, who is failing."""

from __future__ import annotations

from k8s.monitoring.boards import behind, edge, guards, overload
from k8s.monitoring.boards.board import Board, Row, models_row
from k8s.monitoring.boards.panels import (
    BAD,
    GOOD,
    WARN,
    ask,
    ask_once,
    heat,
    lines,
    number,
    quantile,
)

_FAILED = 'outcome!~"labelled|abstained|not_a_label|refusal|cancelled|budget"'


def board() -> Board:
    """Golden signals first, then what explains them."""
    return Board(
        uid="classifier-service",
        title="Classifier / Service",
        description="Traffic, errors, latency and saturation of the ticket classifier.",
        since="now-3h",
        rows=[
            models_row(),
            _glance(),
            _traffic(),
            _latency(),
            _errors(),
            guards.row(),
            overload.overload(),
            behind.saturation(),
            edge.connections(),
            behind.cache(),
            behind.objectives(),
            behind.state(),
        ],
    )


def _glance() -> Row:
    answered = 'sum(increase(classifier_tickets_total{@, outcome=~"labelled|abstained"}[$__range]))'
    return Row(
        "At a glance",
        number(
            "Tickets",
            "Tickets that came in within the time range, answered or not.",
            "locale",
            ask_once("sum(increase(classifier_tickets_total{@}[$__range]))"),
            decimals=0,
        ),
        number(
            "Answered",
            "Share of these tickets that got a label; the objective is 99.9 %.",
            "percentunit",
            ask_once(f"{answered} / (sum(increase(classifier_tickets_total{{@}}[$__range])) > 0)"),
            steps=((None, BAD), (0.99, WARN), (0.999, GOOD)),
            decimals=2,
        ),
        number(
            "From the cache",
            "Share of the answered tickets that no model was asked for.",
            "percentunit",
            ask_once(
                '(sum(increase(classifier_tickets_total{@, source="cache"}[$__range])) or vector(0))'
                f" / ({answered} > 0)"
            ),
            decimals=1,
        ),
        number(
            "In flight",
            "Tickets being classified at this moment, over all replicas.",
            "short",
            ask_once("sum(classifier_tickets_in_flight{@})"),
            decimals=0,
        ),
        number(
            "Redis",
            "Whether any replica does without Redis; without a Redis configured it is never away.",
            "none",
            ask_once("max(classifier_cache_redis_away{@})"),
            words={"0": ("not away", GOOD), "1": ("away", WARN)},
        ),
        number(
            "Config",
            "Whether any replica refuses the files on disk; an older config is live there.",
            "none",
            ask_once("min(classifier_config_valid{@})"),
            words={"0": ("refused", BAD), "1": ("live", GOOD)},
        ),
    )


def _traffic() -> Row:
    return Row(
        "Traffic",
        lines(
            "Tickets per minute, by source",
            "model: a model was asked; cache: answered from memory or Redis; coalesced: waited for "
            "an identical ticket; none: not answered.",
            "short",
            ask("60 * sum by (source) (rate(classifier_tickets_total{@}[$__rate_interval]))"),
            stacked=True,
        ),
        lines(
            "Tickets per minute, by path and door",
            "Which path gave the label, and how the ticket came in.",
            "short",
            ask(
                "60 * sum by (path, door) (rate(classifier_tickets_total{@}[$__rate_interval]))",
                "{{path}} · {{door}}",
            ),
            stacked=True,
        ),
        lines(
            "HTTP requests per minute",
            "All requests by route and status class, probes and scrapes included.",
            "short",
            ask(
                "60 * sum by (route, status) (rate(classifier_http_requests_total{@}[$__rate_interval]))",
                "{{route}} {{status}}",
            ),
        ),
        lines(
            "Calls to models per minute, by reason",
            "answer: the first call of a ticket; escalation: it was unsure; fallback: it failed; "
            "retry: the connection broke; hedge: beside a slow one; shadow: only measured; probe: "
            "is the path back? All of them may be paid for.",
            "short",
            ask(
                "60 * sum by (path, reason) (rate(classifier_attempts_total{@}[$__rate_interval]))",
                "{{path}} · {{reason}}",
            ),
            stacked=True,
        ),
    )


def _latency() -> Row:
    ticket, call = "classifier_ticket_duration_seconds", "classifier_model_duration_seconds"
    overhead, server = (
        "classifier_overhead_duration_seconds",
        "classifier_model_server_duration_seconds",
    )
    by_model, replied = ', source="model"', ', replied="yes"'
    return Row(
        "Latency",
        lines(
            "Tickets that a model answered",
            "Time of a ticket in the service, by the path that gave the label; an escalated ticket "
            "carries the time of both paths. Answers from the cache are left out.",
            "s",
            ask(quantile(0.5, ticket, where=by_model), "{{path}} p50"),
            ask(quantile(0.95, ticket, where=by_model), "{{path}} p95"),
            ask(quantile(0.99, ticket, where=by_model), "{{path}} p99"),
        ),
        lines(
            "Our own overhead",
            "Time of a ticket minus the time awaiting the model: what this service answers for.",
            "s",
            ask(quantile(0.5, overhead, by="source"), "{{source}} p50"),
            ask(quantile(0.99, overhead, by="source"), "{{source}} p99"),
        ),
        heat(
            "Tickets on path $path",
            "Where tickets that a model answered lie: two bands are two kinds of tickets.",
            "s",
            ticket,
            by_model,
        ),
        lines(
            "One call to a model",
            "Time awaiting the model per call that got a reply, and the endpoint's own time "
            "where it tells (openai-processing-ms); the difference is the network's and its queue's.",
            "s",
            ask(quantile(0.5, call, where=replied), "{{path}} p50"),
            ask(quantile(0.99, call, where=replied), "{{path}} p99"),
            ask(quantile(0.5, server), "{{path}} p50, its own"),
        ),
        lines(
            "One cache operation",
            "p99 by tier; a slow or silent Redis may cost a ticket 50 ms at most.",
            "s",
            ask(
                quantile(0.99, "classifier_cache_operation_duration_seconds", by="tier, operation"),
                "{{tier}} {{operation}} p99",
            ),
        ),
    )


def _errors() -> Row:
    return Row(
        "Errors",
        lines(
            "Tickets without an answer per minute",
            "no_path_answered: every path of the plan failed; no_label: models replied, but never "
            "with a label; out_of_time: the ticket's own deadline passed; internal: a bug, see request.crashed.",
            "short",
            ask(
                "60 * sum by (outcome) (rate("
                'classifier_tickets_total{@, outcome!~"labelled|abstained"}[$__rate_interval]))'
            ),
            stacked=True,
        ),
        lines(
            "Failed calls to models per minute",
            "By path and kind. A ticket may still have got its label from a retry or another path.",
            "short",
            ask(
                "60 * sum by (path, outcome) (rate("
                f"classifier_attempts_total{{@, {_FAILED}}}[$__rate_interval]))",
                "{{path}} · {{outcome}}",
            ),
            stacked=True,
        ),
        lines(
            "Share of calls that fail",
            "By path, over all calls on it; the alert ClassifierUpstreamFailing stands at 10 %.",
            "percentunit",
            ask(
                "(sum by (path) (rate("
                f"classifier_attempts_total{{@, {_FAILED}}}[$__rate_interval]))"
                " or 0 * sum by (path) (rate(classifier_attempts_total{@}[$__rate_interval])))"
                " / (sum by (path) (rate(classifier_attempts_total{@}[$__rate_interval])) > 0)"
            ),
            most=1,
        ),
        lines(
            "Cache operations that fail per minute",
            "timeout, error: Redis did not answer in time or at all; skipped: it is left alone after "
            "failures in a row; dropped: writes that found the queue full.",
            "short",
            ask(
                "60 * sum by (tier, operation, outcome) (rate(classifier_cache_operations_total"
                '{@, outcome=~"timeout|error|skipped|dropped"}[$__rate_interval]))',
                "{{tier}} {{operation}} {{outcome}}",
            ),
            stacked=True,
        ),
    )
