"""Dashboard Quality: which labels, how sure, and do the paths agree."""

from __future__ import annotations

from k8s.monitoring.boards.board import Board, Row, models_row
from k8s.monitoring.boards.panels import ask, ask_once, heat, lines, number, quantile, ranking

_BY_MODEL = 'classifier_tickets_total{@, source="model"}'
_ATTEMPTS = "classifier_attempts_total"
_COMPARED = "classifier_shadow_comparisons_total"
_REPLIED = 'outcome=~"labelled|abstained|not_a_label|refusal"'


def board() -> Board:
    """What can be said about answers without knowing the right ones."""
    return Board(
        uid="classifier-quality",
        title="Classifier / Quality",
        description="Label mix, confidence, abstentions, escalations and agreement of shadow calls. "
        "No accuracy: that needs labelled tickets.",
        since="now-24h",
        rows=[models_row(), _glance(), _labels(), _confidence(), _unsure(), _shadow()],
    )


def _share(part: str, whole: str, by: str = "", window: str = "$__range") -> str:
    """0 where nothing of that kind happened, no value where nothing happened at all."""
    grouped = f"sum by ({by}) " if by else "sum"
    counted = f"{grouped}(increase({whole}[{window}]))"
    return f"({grouped}(increase({part}[{window}])) or 0 * {counted}) / ({counted} > 0)"


def _glance() -> Row:
    return Row(
        "At a glance",
        number(
            "Median confidence",
            "Of answers in this time range, where the endpoint gives one.",
            "percentunit",
            ask_once(
                "histogram_quantile(0.5, sum by (path, le) "
                "(increase(classifier_confidence_ratio_bucket{@}[$__range]))) >= 0",
                "{{path}}",
            ),
            decimals=0,
        ).span(6),
        number(
            "Abstained",
            "Share of model answers that are the taxonomy's abstain label.",
            "percentunit",
            ask_once(
                _share(
                    'classifier_tickets_total{@, source="model", outcome="abstained"}', _BY_MODEL
                )
            ),
            decimals=1,
        ).span(6),
        number(
            "Escalated",
            "Escalation calls per ticket that a model answered.",
            "percentunit",
            ask_once(
                f'(sum(increase({_ATTEMPTS}{{@, reason="escalation"}}[$__range])) or vector(0))'
                f" / (sum(increase({_BY_MODEL}[$__range])) > 0)"
            ),
            decimals=1,
        ).span(6),
        number(
            "Shadow agreement",
            "Share of shadow calls that gave the same label as the answer.",
            "percentunit",
            ask_once(
                _share(
                    f'{_COMPARED}{{@, agreement="agree"}}',
                    f'{_COMPARED}{{@, agreement=~"agree|disagree"}}',
                    "path",
                ),
                "{{path}}",
            ),
            decimals=1,
        ).span(6),
    )


def _labels() -> Row:
    return Row(
        "Labels",
        ranking(
            "Label mix",
            "Answers of this time range by label, repeats from the cache included.",
            "locale",
            ask_once("sort_desc(sum by (label) (increase(classifier_labels_total{@}[$__range])))"),
        )
        .decimals(0)
        .span(8),
        lines(
            "Share of each label",
            "A label that grows or vanishes: an outage, a campaign, or a changed prompt.",
            "percentunit",
            ask(
                "sum by (label) (rate(classifier_labels_total{@}[$__rate_interval]))"
                " / on () group_left () (sum(rate(classifier_labels_total{@}[$__rate_interval])) > 0)"
            ),
            stacked=True,
            most=1,
        ).span(16),
    )


def _confidence() -> Row:
    confidence = "classifier_confidence_ratio"
    return Row(
        "Confidence",
        heat(
            "Confidence on path $path",
            "Probability of the label that the endpoint itself gives; models are often surer than right.",
            "percentunit",
            confidence,
        ),
        lines(
            "Confidence by path",
            "p10: one answer in ten is less sure than this; compare it with escalate.below.",
            "percentunit",
            ask(quantile(0.5, confidence), "{{path}} p50"),
            ask(quantile(0.1, confidence), "{{path}} p10"),
            most=1,
        ).span(24),
    )


def _unsure() -> Row:
    window = "$__rate_interval"
    return Row(
        "Unsure, unreadable, passed on",
        lines(
            "Share of replies that abstain",
            "By path that was asked; abstentions escalate where the route says so.",
            "percentunit",
            ask(
                _share(
                    f'{_ATTEMPTS}{{@, outcome="abstained"}}',
                    f"{_ATTEMPTS}{{@, {_REPLIED}}}",
                    "path",
                    window,
                )
            ),
        ).span(8),
        lines(
            "Share of replies without a label",
            "not_a_label: text that is none of the taxonomy; refusal: the model declined. More of it "
            "after a model update: compare the prompt.",
            "percentunit",
            ask(
                _share(
                    f'{_ATTEMPTS}{{@, outcome=~"not_a_label|refusal"}}',
                    f"{_ATTEMPTS}{{@, {_REPLIED}}}",
                    "path",
                    window,
                )
            ),
        ).span(8),
        lines(
            "Second calls per ticket",
            "Escalations, fallbacks and retries over first calls.",
            "percentunit",
            ask(
                "sum by (reason) (rate("
                f'{_ATTEMPTS}{{@, reason=~"escalation|fallback|retry"}}[$__rate_interval]))'
                f' / on () group_left () (sum(rate({_ATTEMPTS}{{@, reason="answer"}}[$__rate_interval])) > 0)'
            ),
        ).span(8),
    )


def _shadow() -> Row:
    return Row(
        "Shadow calls",
        lines(
            "Agreement with the answer",
            "Of the last hour, by path that was asked beside; low agreement says that one of the two is often "
            "wrong, not which one.",
            "percentunit",
            ask(
                _share(
                    f'{_COMPARED}{{@, agreement="agree"}}',
                    f'{_COMPARED}{{@, agreement=~"agree|disagree"}}',
                    "path",
                    "1h",
                )
            ),
            most=1,
        ),
        lines(
            "Comparisons per minute",
            "no_label: the shadow call failed or gave none; dropped: too many were under way.",
            "short",
            ask(
                f"60 * sum by (path, agreement) (rate({_COMPARED}{{@}}[$__rate_interval]))",
                "{{path}} · {{agreement}}",
            ),
            stacked=True,
        ),
    )
