"""Dashboard Claims: what was promised, what is measured, and whether it holds."""

from __future__ import annotations

from k8s.monitoring.boards.board import Board, Row, models_row
from k8s.monitoring.boards.panels import (
    BAD,
    GOOD,
    ask,
    ask_once,
    lines,
    number,
    quantile,
    quantile_of_range,
    words,
)

_CALL = "classifier_model_duration_seconds"
_REPLIED = ', replied="yes"'  # an error within milliseconds is not a quick model
_P50 = quantile_of_range(0.5, _CALL, where=_REPLIED)
_BASE = "classifier_claim_base_path_info{@}"
_CLAIMED = "max by (path) (classifier_claim_seconds{@})"
_CLAIMED_SAVING = "max(classifier_claim_savings_ratio{@})"
_VERDICT = {"0": ("does not hold", BAD), "1": ("holds", GOOD)}
_ANSWERED = 'sum(increase(classifier_tickets_total{@, outcome=~"labelled|abstained"}[$__range]))'
_PAID = 'sum(increase(classifier_cost_dollars_total{@, reason!="shadow"}[$__range]))'
_ALONE = "sum by (path) (increase(classifier_counterfactual_cost_dollars_total{@}[$__range]))"
_ABOUT = """\
The claim: *same accuracy, 4 times faster, 90 % cheaper with a fine-tuned model and a short prompt, at \
50,000 tickets a day*. Claimed figures come from the config (`[claims]`), measured ones from the tickets \
of this time range. A latency holds up to 5 % above its claim: the histogram's buckets do not tell more.
**If the line above says SIMULATED, this page shows how the claim would be tested, and nothing about any model.** \
*Same accuracy* cannot be read from live traffic: agreement of shadow calls is a hint, evaluation on \
labelled tickets is the proof.
"""


def _base(of: str) -> str:
    return f"sum({of} and on (path) max by (path) ({_BASE}))"


_SPEEDUP = (
    f"{_base(_P50)} / on () group_right () (({_P50}) unless on (path) max by (path) ({_BASE}))"
)
_CLAIMED_SPEEDUP = f"{_base(_CLAIMED)} / on () group_right () ({_CLAIMED} unless on (path) max by (path) ({_BASE}))"
_PATH_SAVING = (
    f"1 - ({_ALONE} unless on (path) max by (path) ({_BASE}))"
    f" / on () group_left () ({_base(_ALONE)} > 0)"
)
_SAVING = f"1 - {_PAID} / ({_base(_ALONE)} > 0)"


def board() -> Board:
    """A line per claim: claimed, measured, verdict; below it how each developed."""
    return Board(
        uid="classifier-claims",
        title="Classifier / Claims",
        description="Measured against claimed: latency of each path, speed-up, saving, volume.",
        since="now-24h",
        rows=[
            models_row(),
            Row("", words("How to read this", _ABOUT)),
            _latency(),
            _saving(),
            _accuracy(),
            _over_time(),
        ],
    )


def _latency() -> Row:
    return Row(
        "100 ms, 400 ms, 4 times faster",
        number(
            "Claimed: median of a call",
            "From the config: claims.latency_s.",
            "s",
            ask_once(_CLAIMED, "{{path}}"),
        ),
        number(
            "Measured: median of a call",
            "Half of the calls on this path that got a reply took less; shadow calls included, errors not.",
            "s",
            ask_once(_P50, "{{path}}"),
        ),
        number(
            "Verdict: median of a call",
            "Whether the measured median is at most 5 % above the claim.",
            "none",
            ask_once(f"({_P50}) <= bool on (path) 1.05 * {_CLAIMED}", "{{path}}"),
            words=_VERDICT,
        ),
        number(
            "Claimed: times faster",
            "The base path's claimed latency over this path's.",
            "short",
            ask_once(_CLAIMED_SPEEDUP, "{{path}}"),
            decimals=1,
        ),
        number(
            "Measured: times faster",
            "The base path's measured median over this path's.",
            "short",
            ask_once(_SPEEDUP, "{{path}}"),
            decimals=1,
        ),
        number(
            "Verdict: times faster",
            "Whether the path is at least 95 % as many times faster as claimed.",
            "none",
            ask_once(f"({_SPEEDUP}) >= bool on (path) 0.95 * ({_CLAIMED_SPEEDUP})", "{{path}}"),
            words=_VERDICT,
        ),
    )


def _saving() -> Row:
    return Row(
        "90 % cheaper, at 50,000 tickets a day",
        number(
            "Claimed saving",
            "From the config: claims.savings_ratio, against claims.base_path.",
            "percentunit",
            ask_once(_CLAIMED_SAVING),
            decimals=0,
        ),
        number(
            "Measured: path alone",
            "What the same tickets would have cost on this path alone, against the base path alone; "
            "no cache, no escalations: the models and prompts themselves.",
            "percentunit",
            ask_once(_PATH_SAVING, "{{path}}"),
            decimals=1,
        ),
        number(
            "Verdict: path alone",
            "Whether this reaches the claimed saving.",
            "none",
            ask_once(f"({_PATH_SAVING}) >= bool on () group_left () {_CLAIMED_SAVING}", "{{path}}"),
            words=_VERDICT,
        ),
        number(
            "Measured: the service",
            "What was really paid, with cache and escalations and without shadow calls, against the "
            "base path alone for every ticket.",
            "percentunit",
            ask_once(_SAVING),
            decimals=1,
        ),
        number(
            "Verdict: the service",
            "Whether this reaches the claimed saving.",
            "none",
            ask_once(f"({_SAVING}) >= bool {_CLAIMED_SAVING}"),
            words=_VERDICT,
        ),
        number(
            "Tickets a day: claimed, this pace",
            "claims.tickets_per_day, and the pace of this time range. The cost per ticket does not "
            "depend on it; the promise that the service bears it does.",
            "locale",
            ask_once("max(classifier_claim_tickets_per_day{@})", "claimed"),
            ask_once(f"{_ANSWERED} / $__range_s * 86400", "pace"),
            decimals=0,
        ),
    )


def _accuracy() -> Row:
    compared = 'classifier_shadow_comparisons_total{@, agreement=~"agree|disagree"}'
    agreed = 'classifier_shadow_comparisons_total{@, agreement="agree"}'
    unclear = 'classifier_uncertain_costs_total{@, status!~"upper_bound|estimated"}'
    return Row(
        "How much these figures rest on",
        number(
            "Calls measured",
            "Calls per path in this time range: medians of fewer than 100 are loose.",
            "locale",
            ask_once(
                "sum by (path) (increase(classifier_attempts_total{@}[$__range]))", "{{path}}"
            ),
            decimals=0,
        ).span(6),
        number(
            "Shadow agreement",
            "Share of shadow calls that gave the same label as the answer: a hint on accuracy, no proof.",
            "percentunit",
            ask_once(
                f"sum by (path) (increase({agreed}[$__range]))"
                f" / (sum by (path) (increase({compared}[$__range])) > 0)",
                "{{path}}",
            ),
            decimals=1,
        ).span(6),
        number(
            "Calls of unknown cost",
            "Missing from the sums: the saving is overstated by them.",
            "percentunit",
            ask_once(
                f"(sum(increase({unclear}[$__range])) or vector(0))"
                " / (sum(increase(classifier_attempts_total{@}[$__range])) > 0)"
            ),
            steps=((None, GOOD), (0.01, BAD)),
            decimals=2,
        ).span(6),
        number(
            "Tickets that cannot be compared",
            "No counterfactual cost is known for them on this path: no price or no token counts.",
            "percentunit",
            ask_once(
                "(sum by (path) (increase(classifier_counterfactual_unknown_total{@}[$__range]))"
                " or 0 * sum by (path) (increase(classifier_counterfactual_cost_dollars_total{@}[$__range])))"
                f" / on () group_left () ({_ANSWERED} > 0)",
                "{{path}}",
            ),
            steps=((None, GOOD), (0.01, BAD)),
            decimals=2,
        ).span(6),
    )


def _over_time() -> Row:
    return Row(
        "Over time",
        lines(
            "Median of a call, against its claim",
            "Dashed: claimed.",
            "s",
            ask(quantile(0.5, _CALL, where=_REPLIED), "{{path}}"),
            ask(_CLAIMED, "{{path}} claimed"),
            dashed="/claimed/",
        ),
        lines(
            "Saving of the last hour, against its claim",
            "Recorded by rules/recording.yaml. service: what was paid against the base path alone; "
            "path alone: this path alone against the base path alone.",
            "percentunit",
            ask(
                "path:classifier_saving:ratio_1h{#} and on (path) max by (path) (" + _BASE + ")",
                "service",
            ),
            ask(
                "path:classifier_path_saving:ratio_1h{#} unless on (path) max by (path) ("
                + _BASE
                + ")",
                "{{path}} alone",
            ),
            ask(_CLAIMED_SAVING, "claimed"),
            dashed="/claimed/",
            most=1,
        ),
    )
