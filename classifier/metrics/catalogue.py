"""Every metric of the service: name, help text and labels, once."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from classifier.metrics.histogram import LATENCY_BOUNDS_S, RATIO_BOUNDS, Histogram
from classifier.metrics.money import DollarCounter


class Described(NamedTuple):
    """One metric as the reference shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def described() -> list[Described]:
    """All metrics of the service, by name."""
    return sorted(Catalogue(CollectorRegistry()).described)


class Catalogue:
    """Names as `classifier_<thing>_<base unit>[_total]`; label values from closed sets only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series for every counter doubles the page
        self._registry = registry
        self.histograms: list[Histogram] = []
        self.described: list[Described] = []
        self._tickets()
        self._money()
        self._cache()
        self._state()

    def _tickets(self) -> None:
        self.tickets = self._counter(
            "classifier_tickets_total",
            "Tickets by door, path, source (model, cache, coalesced) and outcome.",
            ("door", "path", "source", "outcome"),
        )
        self.labels = self._counter(
            "classifier_labels_total", "Labels given, by label and path.", ("label", "path")
        )
        self.attempts = self._counter(
            "classifier_attempts_total",
            "Calls to models by path, reason and outcome; every one of them may be paid for.",
            ("path", "reason", "outcome"),
        )
        self.shadows = self._counter(
            "classifier_shadow_comparisons_total",
            "Shadow calls by path and whether they agree with the answer.",
            ("path", "agreement"),
        )
        self.in_flight = self._gauge("classifier_tickets_in_flight", "Tickets being classified.")
        self.ticket_duration = self._histogram(
            "classifier_ticket_duration_seconds",
            "Time of a ticket in the service, by answering path and source.",
            ("path", "source"),
        )
        self.overhead = self._histogram(
            "classifier_overhead_duration_seconds",
            "Time of a ticket minus the time awaiting the model.",
            ("path", "source"),
        )
        self.model_duration = self._histogram(
            "classifier_model_duration_seconds",
            "Time awaiting the model, per call; replied is `no` for errors and timeouts.",
            ("path", "reason", "replied"),
        )
        self.server_duration = self._histogram(
            "classifier_model_server_duration_seconds",
            "The endpoint's own processing time, where it sends openai-processing-ms.",
            ("path",),
        )
        self.confidence = self._histogram(
            "classifier_confidence_ratio",
            "Confidence of answers, where the endpoint gives one.",
            ("path",),
            RATIO_BOUNDS,
        )
        self.requests = self._counter(
            "classifier_http_requests_total",
            "HTTP requests by route and status class.",
            ("route", "status"),
        )

    def _money(self) -> None:
        self.tokens = self._counter(
            "classifier_tokens_total",
            "Tokens by path, reason and kind; input includes cached_input and cache_write.",
            ("path", "reason", "kind"),
        )
        self.cost = self._dollars(
            "classifier_cost_dollars_total",
            "Known cost of model calls, by path and reason.",
            ("path", "reason"),
        )
        self.uncertain_costs = self._counter(
            "classifier_uncertain_costs_total",
            "Model calls whose cost is unknown or only an upper bound.",
            ("path", "reason", "status"),
        )
        self.counterfactual_cost = self._dollars(
            "classifier_counterfactual_cost_dollars_total",
            "What all answered tickets would have cost on this path alone, without the cache.",
            ("path", "source"),
        )
        self.counterfactual_unknown = self._counter(
            "classifier_counterfactual_unknown_total",
            "Answered tickets for which that cannot be told.",
            ("path",),
        )

    def _cache(self) -> None:
        self.cache_operations = self._counter(
            "classifier_cache_operations_total",
            "Cache operations by tier and outcome.",
            ("tier", "operation", "outcome"),
        )
        self.cache_duration = self._histogram(
            "classifier_cache_operation_duration_seconds",
            "Time of cache operations.",
            ("tier", "operation"),
        )
        self.cache_away = self._gauge(
            "classifier_cache_redis_away", "1 while Redis is left alone after failures in a row."
        )

    def _state(self) -> None:
        self.build_info = self._gauge(
            "classifier_build_info", "Version of the service.", ("version",)
        )
        self.config_info = self._gauge(
            "classifier_config_info", "Fingerprints of the live config.", ("config", "taxonomy")
        )
        self.config_valid = self._gauge(
            "classifier_config_valid", "0 while the file on disk is refused and an older one lives."
        )
        self.config_loaded = self._gauge(
            "classifier_config_loaded_timestamp_seconds", "When the live config was loaded."
        )
        self.reloads = self._counter(
            "classifier_config_reloads_total", "Config reloads by outcome.", ("outcome",)
        )
        self.path_up = self._gauge(
            "classifier_path_up", "0 while a path is marked down after failures.", ("path",)
        )
        self.simulated = self._gauge(
            "classifier_simulated", "1 when a simulated model answered on this path.", ("path",)
        )
        self.price_known = self._gauge(
            "classifier_path_price_known", "0 when the price table has no price.", ("path",)
        )
        self.static_tokens = self._gauge(
            "classifier_path_static_tokens",
            "Prompt tokens without the ticket; 0: unknown.",
            ("path",),
        )
        self.price_table_date = self._gauge(
            "classifier_price_table_timestamp_seconds", "The price table's `as_of`."
        )
        self.claim_latency = self._gauge(
            "classifier_claim_seconds", "Claimed latency of a path.", ("path",)
        )
        self.claim_savings = self._gauge("classifier_claim_savings_ratio", "Claimed saving.")
        self.claim_tickets = self._gauge("classifier_claim_tickets_per_day", "Claimed volume.")
        self.claim_base = self._gauge(
            "classifier_claim_base_path_info",
            "The path that savings are measured against.",
            ("path",),
        )
        self.budget = self._gauge(
            "classifier_budget_dollars_per_day", "Spend on models that is planned for; 0: none set."
        )

    def _counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        self.described.append(Described(name, "counter", labels, help_text))
        return Counter(name, help_text, labels, registry=self._registry)

    def _gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Gauge:
        self.described.append(Described(name, "gauge", labels, help_text))
        return Gauge(name, help_text, labels, registry=self._registry)

    def _dollars(self, name: str, help_text: str, labels: tuple[str, ...]) -> DollarCounter:
        self.described.append(Described(name, "counter", labels, help_text))
        counter = DollarCounter(name, help_text, labels)
        self._registry.register(counter)
        return counter

    def _histogram(
        self,
        name: str,
        help_text: str,
        labels: tuple[str, ...],
        bounds: tuple[float, ...] = LATENCY_BOUNDS_S,
    ) -> Histogram:
        self.described.append(Described(name, "histogram", labels, help_text))
        self.histograms.append(Histogram(name, help_text, labels, bounds))
        return self.histograms[-1]
