"""Every metric of the service: name, help text and labels, once."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from classifier.metrics.budget import BudgetMetrics
from classifier.metrics.edge import EdgeMetrics
from classifier.metrics.guards import GuardMetrics
from classifier.metrics.helpdesks import HelpdeskMetrics
from classifier.metrics.histogram import RATIO_BOUNDS
from classifier.metrics.loop import LoopMetrics
from classifier.metrics.maker import Described, Maker
from classifier.metrics.overload import OverloadMetrics


def described() -> list[Described]:
    """All metrics of the service, by name."""
    make = Maker(CollectorRegistry())
    Catalogue(make)
    BudgetMetrics(make)
    return sorted(make.described)


class Catalogue:
    """Everything that is counted or timed, by subject."""

    def __init__(self, make: Maker) -> None:
        self._tickets(make)
        self._money(make)
        self._cache(make)
        self._state(make)
        self.helpdesks = HelpdeskMetrics(make)
        self.loop = LoopMetrics(make)
        self.guards = GuardMetrics(make)
        self.edge = EdgeMetrics(make)
        self.overload = OverloadMetrics(make)

    def _tickets(self, make: Maker) -> None:
        self.tickets = make.counter(
            "classifier_tickets_total",
            "Tickets by door, path, source (model, cache, coalesced) and outcome.",
            ("door", "path", "source", "outcome"),
        )
        self.labels = make.counter(
            "classifier_labels_total", "Labels given, by label and path.", ("label", "path")
        )
        self.attempts = make.counter(
            "classifier_attempts_total",
            "Calls to models by path, reason and outcome; every one of them may be paid for.",
            ("path", "reason", "outcome"),
        )
        self.shadows = make.counter(
            "classifier_shadow_comparisons_total",
            "Shadow calls by path and whether they agree with the answer.",
            ("path", "agreement"),
        )
        self.in_flight = make.gauge("classifier_tickets_in_flight", "Tickets being classified.")
        self.ticket_duration = make.histogram(
            "classifier_ticket_duration_seconds",
            "Time of a ticket in the service, by answering path and source.",
            ("path", "source"),
        )
        self.overhead = make.histogram(
            "classifier_overhead_duration_seconds",
            "Time of a ticket minus the time awaiting the model.",
            ("path", "source"),
        )
        self.model_duration = make.histogram(
            "classifier_model_duration_seconds",
            "Time awaiting the model, per call; replied is `no` for errors and timeouts.",
            ("path", "reason", "replied"),
        )
        self.server_duration = make.histogram(
            "classifier_model_server_duration_seconds",
            "The endpoint's own processing time, where it sends openai-processing-ms.",
            ("path",),
        )
        self.confidence = make.histogram(
            "classifier_confidence_ratio",
            "Confidence of answers, where the endpoint gives one.",
            ("path",),
            RATIO_BOUNDS,
        )
        self.requests = make.counter(
            "classifier_http_requests_total",
            "HTTP requests by route and status class.",
            ("route", "status"),
        )

    def _money(self, make: Maker) -> None:
        self.tokens = make.counter(
            "classifier_tokens_total",
            "Tokens by path, reason and kind; input includes cached_input and cache_write.",
            ("path", "reason", "kind"),
        )
        self.cost = make.dollars(
            "classifier_cost_dollars_total",
            "Known cost of model calls, by path and reason.",
            ("path", "reason"),
        )
        self.uncertain_costs = make.counter(
            "classifier_uncertain_costs_total",
            "Model calls whose cost is unknown or only an upper bound.",
            ("path", "reason", "status"),
        )
        self.counterfactual_cost = make.dollars(
            "classifier_counterfactual_cost_dollars_total",
            "What all answered tickets would have cost on this path alone, without the cache.",
            ("path", "source"),
        )
        self.counterfactual_unknown = make.counter(
            "classifier_counterfactual_unknown_total",
            "Answered tickets for which that cannot be told.",
            ("path",),
        )

    def _cache(self, make: Maker) -> None:
        self.cache_operations = make.counter(
            "classifier_cache_operations_total",
            "Cache operations by tier and outcome.",
            ("tier", "operation", "outcome"),
        )
        self.cache_duration = make.histogram(
            "classifier_cache_operation_duration_seconds",
            "Time of cache operations.",
            ("tier", "operation"),
        )
        self.cache_turns = make.counter(
            "classifier_cache_turns_total",
            "Tickets that no cache knew, by whose turn it was to ask: asking (ours), lent (another "
            "process asked, its answer came), gave_up (another's answer did not come in time).",
            ("outcome",),
        )
        self.cache_away = make.gauge(
            "classifier_cache_redis_away", "1 while Redis is left alone after failures in a row."
        )

    def _state(self, make: Maker) -> None:
        self.build_info = make.gauge(
            "classifier_build_info", "Version of the service.", ("version",)
        )
        self.config_info = make.gauge(
            "classifier_config_info", "Fingerprints of the live config.", ("config", "taxonomy")
        )
        self.config_valid = make.gauge(
            "classifier_config_valid", "0 while the file on disk is refused and an older one lives."
        )
        self.config_loaded = make.gauge(
            "classifier_config_loaded_timestamp_seconds", "When the live config was loaded."
        )
        self.awaiting_restart = make.gauge(
            "classifier_config_keys_awaiting_restart",
            "Edited keys of the config file that only a restart makes live.",
        )
        self.reloads = make.counter(
            "classifier_config_reloads_total", "Config reloads by outcome.", ("outcome",)
        )
        self.path_up = make.gauge(
            "classifier_path_up", "0 while a path is left alone: its breaker is open.", ("path",)
        )
        self.simulated = make.gauge(
            "classifier_simulated", "1 when a simulated model answered on this path.", ("path",)
        )
        self.price_known = make.gauge(
            "classifier_path_price_known", "0 when the price table has no price.", ("path",)
        )
        self.static_tokens = make.gauge(
            "classifier_path_static_tokens",
            "Prompt tokens without the ticket; 0: unknown.",
            ("path",),
        )
        self.price_table_date = make.gauge(
            "classifier_price_table_timestamp_seconds", "The price table's `as_of`."
        )
        self.claim_latency = make.gauge(
            "classifier_claim_seconds", "Claimed latency of a path.", ("path",)
        )
        self.claim_savings = make.gauge("classifier_claim_savings_ratio", "Claimed saving.")
        self.claim_tickets = make.gauge("classifier_claim_tickets_per_day", "Claimed volume.")
        self.claim_base = make.gauge(
            "classifier_claim_base_path_info",
            "The path that savings are measured against.",
            ("path",),
        )
        self.budget = make.gauge(
            "classifier_budget_dollars_per_day", "Spend on models that is planned for; 0: none set."
        )
