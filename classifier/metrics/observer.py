"""Turns what happened into metrics; one object per app, nothing in a global registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from classifier import __version__
from classifier.assembly import Assembly
from classifier.budget.daily import DailyBudget
from classifier.metrics.budget import BudgetMetrics
from classifier.metrics.catalogue import Catalogue
from classifier.metrics.maker import Maker
from classifier.records import Attempt, Classification, Cost, Door, ReplyOutcome, Source

_REPLIED = get_args(ReplyOutcome)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The Observer of one app. Promise: returns at once, never raises, never sees ticket text."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._make = Maker(self._registry)
        self._c = Catalogue(self._make)
        self.edge = self._c.edge
        self.overload = self._c.overload
        self.helpdesks = self._c.helpdesks
        self._c.build_info.labels(__version__).set(1)
        self._budget = BudgetMetrics(self._make)
        self._daily: DailyBudget | None = None
        self._assembly: Assembly | None = None

    def render(self) -> bytes:
        """The whole exposition, Prometheus text format 0.0.4."""
        if self._daily is not None:
            self._budget.show(self._daily)
        lines = [line for histogram in self._make.histograms for line in histogram.lines()]
        return generate_latest(self._registry) + ("\n".join(lines) + "\n").encode()

    def watch_in_flight(self, count: Callable[[], int]) -> None:
        self._c.in_flight.set_function(count)

    def watch_budget(self, budget: DailyBudget) -> None:
        """Its figures are read at every scrape."""
        self._daily = budget

    # -- tickets ---------------------------------------------------------------------------

    def classified(self, classification: Classification, door: Door) -> None:
        c = self._c
        answer, stages = classification.answer, classification.stages
        path, source = answer.path, classification.source
        outcome = "labelled"
        if self._assembly is not None and answer.label == self._assembly.taxonomy.abstain:
            outcome = "abstained"
        c.tickets.labels(door, path, source, outcome).inc()
        c.labels.labels(answer.label, path).inc()
        c.ticket_duration.series(path, source).observe(stages.total_s)
        c.overhead.series(path, source).observe(stages.overhead_s)
        if answer.confidence is not None:
            c.confidence.series(path).observe(answer.confidence)
        self._count_counterfactual(classification)

    def failed(self, door: Door, outcome: str, total_s: float) -> None:
        self._c.tickets.labels(door, "none", "none", outcome.replace("-", "_")).inc()
        self._c.ticket_duration.series("none", "none").observe(total_s)

    def attempted(self, attempt: Attempt) -> None:
        c = self._c
        path, reason = attempt.path, attempt.reason
        c.attempts.labels(path, reason, attempt.outcome).inc()
        if attempt.outcome == "budget":
            return  # it was never made
        replied = "yes" if attempt.outcome in _REPLIED else "no"
        c.model_duration.series(path, reason, replied).observe(attempt.duration_s)
        if attempt.server_time_s is not None:
            c.server_duration.series(path).observe(attempt.server_time_s)
        if attempt.usage is not None:
            usage = attempt.usage
            c.tokens.labels(path, reason, "input").inc(usage.input_tokens)
            c.tokens.labels(path, reason, "cached_input").inc(usage.cached_input_tokens or 0)
            c.tokens.labels(path, reason, "cache_write").inc(usage.cache_write_tokens or 0)
            c.tokens.labels(path, reason, "output").inc(usage.output_tokens)
        c.cost.add(attempt.cost.nanodollars or 0, path, reason)
        if attempt.cost.status != "exact":
            c.uncertain_costs.labels(path, reason, attempt.cost.status).inc()
        if attempt.simulated:
            c.simulated.labels(path).set(1)

    def shadowed(self, path: str, agreement: str) -> None:
        self._c.shadows.labels(path, agreement).inc()

    def _count_counterfactual(self, classification: Classification) -> None:
        if self._assembly is not None:
            alone = self._assembly.counterfactual(classification.answer)
            self.compared(classification.source, alone)

    def compared(self, source: Source, alone: Mapping[str, Cost]) -> None:
        """What an answered ticket would have cost on each path alone."""
        for path, cost in alone.items():
            if cost.nanodollars is None:
                self._c.counterfactual_unknown.labels(path).inc()
            else:
                self._c.counterfactual_cost.add(cost.nanodollars, path, source)

    # -- cache -----------------------------------------------------------------------------

    def cache_operation(self, tier: str, operation: str, outcome: str, duration_s: float) -> None:
        self._c.cache_operations.labels(tier, operation, outcome).inc()
        if outcome not in ("skipped", "dropped"):
            self._c.cache_duration.series(tier, operation).observe(duration_s)

    def cache_away(self, *, away: bool) -> None:
        self._c.cache_away.set(int(away))

    def cache_turn(self, outcome: str) -> None:
        self._c.cache_turns.labels(outcome).inc()

    # -- config, paths, requests -----------------------------------------------------------

    def configured(self, assembly: Assembly) -> None:
        """A config went live: its claims, prices and versions become metrics."""
        c = self._c
        if self._assembly is not None:
            self._forget(set(self._assembly.paths) - set(assembly.paths))
        self._assembly = assembly
        c.config_info.clear()
        c.config_info.labels(assembly.version, assembly.taxonomy_version).set(1)
        c.config_valid.set(1)
        c.config_loaded.set(time.time())
        c.price_table_date.set(_timestamp(assembly.prices.as_of))
        claims = assembly.config.claims
        c.claim_latency.clear()
        for claimed, claimed_s in claims.latency_s.items():
            c.claim_latency.labels(claimed).set(claimed_s)
        c.claim_savings.set(claims.savings_ratio)
        c.claim_tickets.set(claims.tickets_per_day)
        c.claim_base.clear()
        c.claim_base.labels(claims.base_path).set(1)
        c.budget.set(float(claims.budget_usd_per_day))
        c.guards.configured(assembly.paths)
        for name, path in assembly.paths.items():
            c.path_up.labels(name).set(int(path.guard.breaker.state != "open"))
            c.price_known.labels(name).set(int(path.rate is not None))
            c.static_tokens.labels(name).set(path.static_tokens or 0)

    def _forget(self, paths: set[str]) -> None:
        """A path that is gone is neither up nor down: its last state must not alert for ever."""
        self._c.guards.forget(paths)
        for gauge in (
            self._c.path_up,
            self._c.simulated,
            self._c.price_known,
            self._c.static_tokens,
        ):
            for path in paths:
                gauge.remove(path)

    def reloaded(self, outcome: str) -> None:
        self._c.reloads.labels(outcome).inc()
        self._c.config_valid.set(int(outcome != "refused"))

    def awaiting_restart(self, keys: int) -> None:
        self._c.awaiting_restart.set(keys)

    def loop_late(self, late_s: float) -> None:
        self._c.loop.late(late_s)

    # -- guards ----------------------------------------------------------------------------

    def breaker_changed(self, path: str, state: str, reason: str) -> None:
        self._c.path_up.labels(path).set(int(state != "open"))
        self._c.guards.breaker_changed(path, state, reason)

    def retried(self, path: str, outcome: str) -> None:
        self._c.guards.retried(path, outcome)

    def hedged(self, path: str, outcome: str) -> None:
        self._c.guards.hedged(path, outcome)

    def skipped(self, path: str, why: str) -> None:
        self._c.guards.skipped(path, why)

    def requested(self, route: str, status: int) -> None:
        self._c.requests.labels(route, f"{status // 100}xx").inc()


def _timestamp(date: str) -> float:
    try:
        return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
