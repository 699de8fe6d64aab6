"""A Classification as the wire shows it: one shape for the door, the batch and the command."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from classifier.money import usd
from classifier.records import Classification, CostStatus, Stages


class UsageAnswer(Struct):
    """Tokens of all attempts for this ticket. `cached_input_tokens` is null when not known."""

    input_tokens: int
    cached_input_tokens: int | None
    output_tokens: int


class LatencyAnswer(Struct):
    """Milliseconds. overhead = total - model."""

    total: float
    model: float
    overhead: float


class Answered(Struct):
    """The answer to one ticket. `cost_usd` is a decimal string; null when it is not known."""

    id: str
    label: str
    confidence: float | None
    path: str
    model: str
    source: Literal["model", "cache", "coalesced"]
    usage: UsageAnswer
    cost_usd: str | None
    cost_status: CostStatus
    latency_ms: LatencyAnswer
    taxonomy: str
    prompt: str
    simulated: bool
    escalated_from: str | UnsetType = UNSET


def answered(classification: Classification) -> Answered:
    answer, usage = classification.answer, classification.usage
    cost = classification.cost
    return Answered(
        id=classification.id,
        label=answer.label,
        confidence=None if answer.confidence is None else round(answer.confidence, 6),
        path=answer.path,
        model=answer.model,
        source=classification.source,
        usage=UsageAnswer(usage.input_tokens, usage.cached_input_tokens, usage.output_tokens),
        cost_usd=None if cost.nanodollars is None else usd(cost.nanodollars),
        cost_status=cost.status,
        latency_ms=_latency(classification.stages),
        taxonomy=answer.taxonomy,
        prompt=answer.prompt,
        simulated=answer.simulated,
        escalated_from=answer.escalated_from or UNSET,
    )


def server_timing(stages: Stages) -> str:
    """The same stages as the standard header, in milliseconds."""
    return (
        f"cache;dur={stages.cache_s * 1e3:.2f}, model;dur={stages.model_s * 1e3:.2f}, "
        f"overhead;dur={stages.overhead_s * 1e3:.2f}, total;dur={stages.total_s * 1e3:.2f}"
    )


def _latency(stages: Stages) -> LatencyAnswer:
    return LatencyAnswer(
        round(stages.total_s * 1e3, 2),
        round(stages.model_s * 1e3, 2),
        round(stages.overhead_s * 1e3, 2),
    )
