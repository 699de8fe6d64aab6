"""The lower half of dashboard Service: what stands behind the golden signals."""

from __future__ import annotations

from k8s.monitoring.boards.board import Row
from k8s.monitoring.boards.panels import (
    BAD,
    GOOD,
    WARN,
    ask,
    ask_once,
    lines,
    listing,
    number,
    quantile,
)

_LAG = "classifier_event_loop_lag_seconds"
_UP = {"0": ("down", BAD), "1": ("up", GOOD)}


def saturation() -> Row:
    return Row(
        "Saturation",
        lines(
            "Tickets in flight",
            "Being classified at the moment of the scrape.",
            "short",
            ask("sum by (instance) (classifier_tickets_in_flight{@})"),
        ).span(8),
        lines(
            "CPU",
            "Cores in use by each process; it can use one.",
            "short",
            ask("sum by (instance) (rate(process_cpu_seconds_total{@}[$__rate_interval]))"),
        ).span(8),
        lines(
            "Event loop lag",
            "How late a timer of the process goes off, ten times a second: every ticket in flight waits "
            "that long as well. The alert ClassifierEventLoopSlow stands at 100 ms.",
            "s",
            ask(quantile(0.5, _LAG, by="instance"), "{{instance}} p50"),
            ask(quantile(0.99, _LAG, by="instance"), "{{instance}} p99"),
        ).span(8),
        lines(
            "Memory",
            "Resident memory of each process.",
            "bytes",
            ask("max by (instance) (process_resident_memory_bytes{@})"),
        ).span(12),
        lines(
            "Open files",
            "File descriptors, connections included, and the limit as a share of which they count.",
            "percentunit",
            ask("max by (instance) (process_open_fds{@} / process_max_fds{@})"),
        ).span(12),
    )


def cache() -> Row:
    hits = 'classifier_cache_operations_total{@, operation="get", outcome="hit"}'
    looks = 'classifier_cache_operations_total{@, operation="get", outcome=~"hit|miss"}'
    return Row(
        "Cache",
        lines(
            "Hit ratio by tier",
            "Look-ups that found an answer. Redis is only asked for what memory does not have.",
            "percentunit",
            ask(
                f"(sum by (tier) (rate({hits}[$__rate_interval]))"
                f" or 0 * sum by (tier) (rate({looks}[$__rate_interval])))"
                f" / (sum by (tier) (rate({looks}[$__rate_interval])) > 0)"
            ),
            most=1,
        ),
        lines(
            "Cache operations per minute",
            "By tier, operation and outcome. turn: whose it was to ask a model for a ticket that Redis "
            "does not know; lent: another process asked, gave_up: its answer did not come in time.",
            "short",
            ask(
                "60 * sum by (tier, operation, outcome) "
                "(rate(classifier_cache_operations_total{@}[$__rate_interval]))",
                "{{tier}} {{operation}} {{outcome}}",
            ),
            ask(
                "60 * sum by (outcome) (rate(classifier_cache_turns_total{@}[$__rate_interval]))",
                "turn {{outcome}}",
            ),
            stacked=True,
        ),
    )


def objectives() -> Row:
    windows = ("5m", "1h", "6h", "3d")
    failed, slow = (
        "job:classifier_tickets_failed:ratio_rate",
        "job:classifier_tickets_slow:ratio_rate",
    )
    limit = "(1 - scalar(classifier:{}_objective:ratio))"
    return Row(
        "Objectives (recorded by rules/recording.yaml)",
        lines(
            "Burn rate: tickets without an answer",
            "How many times faster than the objective allows, by window; 14.4 and 6 wake somebody.",
            "short",
            *(ask(f"{failed}{w}{{#}} / {limit.format('availability')}", w) for w in windows),
        ).span(8),
        lines(
            "Burn rate: slow answers",
            "The same for answered tickets that took longer than 2 s; the objective is 99 %.",
            "short",
            *(ask(f"{slow}{w}{{#}} / {limit.format('latency')}", w) for w in windows),
        ).span(8),
        listing(
            "Alerts that fire",
            "Alerts of this service that fire now; what to do stands in docs/runbooks.md.",
            "none",
            {
                "firing": ask_once(
                    'ALERTS{alertname=~"Classifier.+", alertstate="firing", job=~"$job|"}'
                )
            },
            empty="none",
        ).span(8),
    )


def state() -> Row:
    return Row(
        "State",
        number(
            "Paths",
            "A path is down while its breaker is open, and up again after a reply.",
            "none",
            ask_once("min by (path) (classifier_path_up{@})", "{{path}}"),
            words=_UP,
        ).span(3),
        number(
            "Running since",
            "When the youngest process started.",
            "dateTimeFromNow",
            ask_once("1000 * max(process_start_time_seconds{@})"),
        ).span(3),
        number(
            "Config live since",
            "When the live config was loaded, on the replica that did so last.",
            "dateTimeFromNow",
            ask_once("1000 * max(classifier_config_loaded_timestamp_seconds{@})"),
        ).span(3),
        number(
            "Configs in use",
            "More than one for longer than a few seconds: replicas do not see the same files.",
            "short",
            ask_once("count(count by (config) (classifier_config_info{@}))"),
            steps=((None, GOOD), (2, WARN)),
            decimals=0,
        ).span(3),
        number(
            "Keys that wait for a restart",
            "Edited in the config file, but read only at start; the console and the log name them.",
            "short",
            ask_once("max(classifier_config_keys_awaiting_restart{@})"),
            steps=((None, GOOD), (1, WARN)),
            decimals=0,
        ).span(3),
        listing(
            "Versions and configs",
            "What runs where.",
            "locale",
            {
                "replicas": ask_once(
                    "sum by (version, config, taxonomy) (classifier_build_info{@}"
                    " * on (job, instance) group_left (config, taxonomy) classifier_config_info{@})"
                )
            },
        )
        .height(4)
        .span(9),
        lines(
            "Config reloads per hour",
            "live: a changed config; unchanged: the same content; refused: an invalid one.",
            "short",
            ask("sum by (outcome) (increase(classifier_config_reloads_total{@}[1h]))"),
        ),
        lines(
            "Garbage collection",
            "Full collections per minute; each stops the tickets in flight for a moment.",
            "short",
            ask(
                "60 * sum by (instance, generation) "
                "(rate(python_gc_collections_total{@}[$__rate_interval]))",
                "{{instance}} gen {{generation}}",
            ),
        ),
    )
