"""Dashboard Money: what was paid for what, what a day costs, what it would have cost otherwise."""

from __future__ import annotations

from k8s.monitoring.boards.board import Board, Row, models_row
from k8s.monitoring.boards.panels import (
    BAD,
    CALM,
    GOOD,
    WARN,
    ask,
    ask_once,
    bars,
    lines,
    listing,
    number,
    ranking,
)

_COST = "classifier_cost_dollars_total"
_ALONE = "classifier_counterfactual_cost_dollars_total"
_ANSWERED = 'classifier_tickets_total{@, outcome=~"labelled|abstained"}'
_PER_TICKET = (
    f'sum(increase({_COST}{{@, reason!="shadow"}}[$__range]))'
    f" / (sum(increase({_ANSWERED}[$__range])) > 0)"
)
_VOLUME = "max(classifier_claim_tickets_per_day{@})"


def board() -> Board:
    """Spend first, then where it went, then the comparison."""
    return Board(
        uid="classifier-money",
        title="Classifier / Money",
        description="Spend by path, reason and day; projection; what each path alone would have cost.",
        since="now-7d",
        rows=[models_row(), _glance(), _spend(), _day(), _cap(), _otherwise(), _known()],
    )


def _glance() -> Row:
    return Row(
        "At a glance",
        number(
            "Spent in 24 hours",
            "All calls, shadow calls included.",
            "currencyUSD",
            ask_once(f"sum(increase({_COST}{{@}}[1d]))"),
            decimals=4,
        ),
        number(
            "Budget of a day",
            "claims.budget_usd_per_day; above it ClassifierSpendAboveBudget fires. 0: none set.",
            "currencyUSD",
            ask_once("max(classifier_budget_dollars_per_day{@})"),
            decimals=2,
        ),
        number(
            "A day at the last hour's pace",
            "Spend of the last hour, times 24.",
            "currencyUSD",
            ask_once(f"24 * sum(increase({_COST}{{@}}[1h]))"),
            decimals=4,
        ),
        number(
            "1,000 tickets",
            "What they cost within this time range: cache and escalations included, shadow calls not.",
            "currencyUSD",
            ask_once(f"1000 * {_PER_TICKET}"),
            decimals=4,
        ),
        number(
            "A day of the claimed volume",
            "The cost per ticket of this time range, times claims.tickets_per_day.",
            "currencyUSD",
            ask_once(f"{_PER_TICKET} * {_VOLUME}"),
            decimals=2,
        ),
        number(
            "Prices compared",
            "The price table's as_of; after 90 days ClassifierPriceTableStale fires.",
            "dateTimeFromNow",
            ask_once("1000 * max(classifier_price_table_timestamp_seconds{@})"),
        ),
    )


def _spend() -> Row:
    tokens = "classifier_tokens_total"
    return Row(
        "Where it goes",
        lines(
            "Dollars per hour, by path and reason",
            "answer: first calls; escalation: unsure answers; fallback and retry: failures; shadow: "
            "measuring.",
            "currencyUSD",
            ask(
                f"3600 * sum by (path, reason) (rate({_COST}{{@}}[$__rate_interval]))",
                "{{path}} · {{reason}}",
            ),
            stacked=True,
        ),
        bars(
            "Dollars per day, by path and reason",
            "Each bar is the day (UTC) that begins at it; the last one is still growing.",
            "currencyUSD",
            ask(
                f"sum by (path, reason) (increase({_COST}{{@}}[1d] offset -1d))",
                "{{path}} · {{reason}}",
            ),
            days=14,
        ),
        listing(
            "What was paid for",
            "Calls, tokens and dollars of this time range, by path and reason.",
            "locale",
            {
                "calls": ask_once(
                    "sum by (path, reason) (increase(classifier_attempts_total{@}[$__range]))"
                ),
                "input tokens": ask_once(
                    f'sum by (path, reason) (increase({tokens}{{@, kind="input"}}[$__range]))'
                ),
                "of these cached": ask_once(
                    f'sum by (path, reason) (increase({tokens}{{@, kind="cached_input"}}[$__range]))'
                ),
                "output tokens": ask_once(
                    f'sum by (path, reason) (increase({tokens}{{@, kind="output"}}[$__range]))'
                ),
                "dollars": ask_once(f"sum by (path, reason) (increase({_COST}{{@}}[$__range]))"),
            },
            dollars="dollars",
        ),
        lines(
            "Tokens per minute",
            "input includes cached_input and cache_write, as the vendors count.",
            "short",
            ask(
                f"60 * sum by (path, kind) (rate({tokens}{{@}}[$__rate_interval]))",
                "{{path}} · {{kind}}",
            ),
        ),
    )


def _day() -> Row:
    return Row(
        "A day of the claimed volume (recorded by rules/recording.yaml)",
        lines(
            "Projected cost of a day",
            "Cost per ticket of the last hour, times the claimed volume; and the same tickets on each "
            "path alone, without the cache.",
            "currencyUSD",
            ask("job:classifier_cost_per_day_dollars:1h{#}", "the service"),
            ask("path:classifier_counterfactual_cost_per_day_dollars:1h{#}", "{{path}} alone"),
        ),
        lines(
            "Spend of 24 hours, against the budget",
            "Rolling; dashed: the budget.",
            "currencyUSD",
            ask("job:classifier_spend_dollars:increase1d{#}", "spent"),
            ask("max by (job) (classifier_budget_dollars_per_day{@}) > 0", "budget"),
            dashed="/budget/",
        ),
    )


def _cap() -> Row:
    steps = {
        "0": ("nothing", GOOD),
        "1": ("shadow calls", WARN),
        "2": ("all but the cheapest path", WARN),
        "3": ("models: cached answers only", BAD),
    }
    given_up = " or ".join(
        f'{number} * (max(classifier_budget_step{{@, step="{step}"}}) == 1)'
        for number, step in ((3, "cache_only"), (2, "cheapest"), (1, "no_shadows"), (0, "none"))
    )
    return Row(
        "The day's cap ([budget])",
        number(
            "Given up for it",
            "What the day's spending has cost by now, by the steps of [budget].",
            "none",
            ask_once(given_up),
            words=steps,
        ).span(6),
        number(
            "Alarm",
            "The highest of 50, 80 and 100 % that has been reached.",
            "percentunit",
            ask_once("max(classifier_budget_alarm_ratio{@})"),
            steps=((None, GOOD), (0.5, CALM), (0.8, WARN), (1, BAD)),
        ).span(6),
        number(
            "Until the reset",
            "When the next day's money is there.",
            "s",
            ask_once("max(classifier_budget_resets_timestamp_seconds{@} > 0) - time()"),
        ).span(6),
        number(
            "Replicas that spend alone",
            "Redis is away: each goes on with its lease and its own share of the cap.",
            "short",
            ask_once("sum(classifier_budget_alone{@})"),
            steps=((None, GOOD), (1, WARN)),
        ).span(6),
        lines(
            "Spent today, by what has a cap",
            "All replicas together. reserved: leased by replicas and not spent yet. dashed: the cap.",
            "currencyUSD",
            ask("max by (scope) (classifier_budget_spent_dollars{@})", "{{scope}} spent"),
            ask("max by (scope) (classifier_budget_reserved_dollars{@})", "{{scope}} reserved"),
            ask("max by (scope) (classifier_budget_cap_dollars{@})", "{{scope}} cap"),
            dashed="/cap/",
        ).span(12),
        lines(
            "Spent part of the cap",
            "1: nothing more is granted until the reset.",
            "percentunit",
            ask("max by (scope) (classifier_budget_spent_ratio{@})", "{{scope}}"),
            most=1,
        ).span(12),
    )


def _otherwise() -> Row:
    paid = f'sum(increase({_COST}{{@, reason!="shadow"}}[$__range]))'
    alone = f"sum by (path) (increase({_ALONE}{{@}}[$__range]))"
    base = "max by (path) (classifier_claim_base_path_info{@})"
    cached = f'sum by (path) (increase({_ALONE}{{@, source="cache"}}[$__range]))'
    return Row(
        "What it would have cost otherwise",
        ranking(
            "All answered tickets of this time range",
            "paid: what the service cost; alone: every ticket on this path, without cache, escalations "
            "and shadow calls.",
            "currencyUSD",
            ask_once(paid, "paid"),
            ask_once(alone, "{{path}} alone"),
        ).span(8),
        ranking(
            "Saving against each path alone",
            "Negative: this path alone would have been cheaper.",
            "percentunit",
            ask_once(f"1 - {paid} / on () group_right () ({alone} > 0)", "against {{path}}"),
        ).span(8),
        number(
            "The cache's part",
            "What the tickets answered from the cache would have cost on the base path.",
            "currencyUSD",
            ask_once(f"sum({cached} and on (path) {base})"),
            decimals=4,
        ).height(8),
        number(
            "Shadow calls",
            "Paid only to measure; part of the spend, not of the saving.",
            "currencyUSD",
            ask_once(f'sum(increase({_COST}{{@, reason="shadow"}}[$__range]))'),
            decimals=4,
        ).height(8),
    )


def _known() -> Row:
    return Row(
        "How well it is known",
        lines(
            "Calls of uncertain cost per minute",
            "unknown: no usage or no price, missing from every sum; upper_bound: the endpoint did not "
            "say how many tokens were cached; estimated: a hedge that lost was hung up on.",
            "short",
            ask(
                "60 * sum by (path, status) "
                "(rate(classifier_uncertain_costs_total{@}[$__rate_interval]))",
                "{{path}} · {{status}}",
            ),
            stacked=True,
        ).span(8),
        lines(
            "Tickets without a counterfactual per minute",
            "No price, no static token count, or the reply had no usage.",
            "short",
            ask(
                "60 * sum by (path) "
                "(rate(classifier_counterfactual_unknown_total{@}[$__rate_interval]))"
            ),
        ).span(8),
        number(
            "Price",
            "Whether the price table has a price for the path's model.",
            "none",
            ask_once("min by (path) (classifier_path_price_known{@})", "{{path}}"),
            words={"0": ("unknown", BAD), "1": ("known", GOOD)},
        ).height(8),
        number(
            "Prompt tokens without the ticket",
            "0: unknown, and then there is no counterfactual for other paths' tickets.",
            "locale",
            ask_once("max by (path) (classifier_path_static_tokens{@})", "{{path}}"),
            steps=((None, WARN), (1, GOOD)),
            decimals=0,
        ).height(8),
    )
