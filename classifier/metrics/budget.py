"""The day's money: what is spent, set aside and left, and what has been given up for it."""

from __future__ import annotations

from typing import get_args

from classifier.budget.daily import DailyBudget
from classifier.config.budget import StepName
from classifier.metrics.maker import Maker
from classifier.money import NANODOLLARS_PER_DOLLAR

_STEPS = ("none", *get_args(StepName))


class BudgetMetrics:
    """Read from the budget at every scrape. Scopes are `total` and `path:NAME`, where they have a cap."""

    def __init__(self, make: Maker) -> None:
        scope = ("scope",)
        self._cap = make.gauge(
            "classifier_budget_cap_dollars", "What a day's calls may cost; `[budget]`.", scope
        )
        self._spent = make.gauge(
            "classifier_budget_spent_dollars",
            "Spent since the day began, by all replicas that share Redis, as this one knows.",
            scope,
        )
        self._reserved = make.gauge(
            "classifier_budget_reserved_dollars",
            "Leased by replicas, and not spent: for calls under way and to come.",
            scope,
        )
        self._ratio = make.gauge(
            "classifier_budget_spent_ratio",
            "Spent part of the cap; 1 from the moment on at which nothing more is granted.",
            scope,
        )
        self._alarm = make.gauge(
            "classifier_budget_alarm_ratio",
            "The highest of 0, 0.5, 0.8 and 1 that the total has reached.",
        )
        self._step = make.gauge(
            "classifier_budget_step",
            "1 for what is given up now: none, no_shadows, cheapest, cache_only.",
            ("step",),
        )
        self._alone = make.gauge(
            "classifier_budget_alone",
            "1 while Redis is away and this process spends its own share of the cap.",
        )
        self._resets = make.gauge(
            "classifier_budget_resets_timestamp_seconds", "When the next day begins; 0: no cap."
        )

    def show(self, budget: DailyBudget) -> None:
        for gauge in (self._cap, self._spent, self._reserved, self._ratio, self._step):
            gauge.clear()
        accounts = budget.accounts
        for scope, account in accounts.items():
            reserved = max(0, account.booked_by_all - account.spent_by_all)
            self._cap.labels(scope).set(account.cap / NANODOLLARS_PER_DOLLAR)
            self._spent.labels(scope).set(account.spent_by_all / NANODOLLARS_PER_DOLLAR)
            self._reserved.labels(scope).set(reserved / NANODOLLARS_PER_DOLLAR)
            self._ratio.labels(scope).set(account.ratio)
        self._alarm.set(budget.alarm)
        self._alone.set(int(budget.is_alone))
        self._resets.set(budget.book.day.ends_at if accounts else 0.0)
        for step in _STEPS if accounts else ():
            self._step.labels(step).set(int(step == (budget.step or "none")))
