"""The records that walk through the house, left to right.

Ticket ─▶ Plan ─▶ Reply (untrusted) ─▶ Attempt ─▶ Answer (cacheable) ─▶ Classification
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct, field

from classifier.errors import FailureKind
from classifier.text import Legible, legible

# Closed sets: every one of them is a metric label.
Door = Literal["classify", "batch", "command", "webhook"]
Source = Literal["model", "cache", "coalesced"]
Reason = Literal["answer", "escalation", "fallback", "retry", "hedge", "shadow", "probe"]
ReplyOutcome = Literal["labelled", "abstained", "not_a_label", "refusal"]
REPLIED: frozenset[str] = frozenset(get_args(ReplyOutcome))
AttemptOutcome = Literal[ReplyOutcome, FailureKind, "cancelled"]
CostStatus = Literal["exact", "upper_bound", "estimated", "partial", "unknown"]

Scalar = str | int | float | bool | None


class Ticket(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One support ticket as it came in. Its text is private and hostile."""

    body: str
    subject: str = ""
    id: Annotated[str, Meta(max_length=256)] = ""
    language: Annotated[str, Meta(max_length=35)] | None = None
    channel: Annotated[str, Meta(max_length=64)] | None = None
    tags: Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=256)] = ()
    metadata: Annotated[dict[str, Scalar], Meta(max_length=64)] = field(default_factory=dict)

    def legible(self) -> Legible:
        """Subject and body as one text, cleaned: what is keyed, cached and shown to models."""
        if not self.subject:
            return legible(self.body)
        subject = " ".join(self.subject.splitlines())  # a subject cannot pass for a body
        return legible(f"Subject: {subject}\n\n{self.body}")

    @property
    def text(self) -> str:
        """What a model reads."""
        return self.legible().text


class Usage(Struct, frozen=True):
    """Tokens of one attempt, or of all attempts of a ticket.

    `input_tokens` includes the cached and the written ones, as on the wire. A detail that the
    endpoint did not send is None: unknown, which is not 0.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None


NO_USAGE = Usage(0, 0, 0, 0)


class Cost(Struct, frozen=True):
    """Integer nano-dollars, and how well they are known.

    exact: usage and price were known to the token. upper_bound: the endpoint did not say how many
    input tokens were cached, so all are priced in full. estimated: at least one call was hung up on,
    and its tokens are counted from its request. partial: at least one attempt's cost is
    missing from the sum. unknown: no price or no usage; `nanodollars` is None, never 0.
    """

    nanodollars: int | None
    status: CostStatus = "exact"


NO_COST = Cost(0)
UNKNOWN_COST = Cost(None, "unknown")


class Reply(Struct, frozen=True):
    """What a model said: untrusted until the label check has read it."""

    text: str | None
    usage: Usage | None
    refused: bool = False
    cut: bool = False  # at the most tokens that it may have: what is there is a beginning
    token_logprobs: tuple[tuple[str, float], ...] | None = None
    probabilities: dict[str, float] | None = None
    service_tier: str | None = None
    server_time_s: float | None = None
    simulated: bool = False


class Attempt(Struct, frozen=True):
    """One paid call on one path, with everything that is booked about it."""

    path: str
    reason: Reason
    outcome: AttemptOutcome
    duration_s: float
    label: str | None = None
    confidence: float | None = None
    usage: Usage | None = None
    cost: Cost = UNKNOWN_COST
    server_time_s: float | None = None
    simulated: bool = False
    retry_after_s: float | None = None


class Answer(Struct, frozen=True):
    """The label that a plan arrived at: what is cached and shared. Holds no ticket text.

    `ticket_tokens` is the ticket's own share of the input, known when the path's static prompt
    tokens are; it prices what the same ticket would have cost on the other paths. `ttl_s` is how
    long the answer may be remembered.
    """

    label: str
    confidence: float | None
    path: str
    model: str
    taxonomy: str
    prompt: str
    simulated: bool
    escalated_from: str | None = None
    ticket_tokens: int | None = None
    output_tokens: int = 0
    ttl_s: float = 0.0


class Stages(Struct, frozen=True):
    """Where a ticket's time went, in seconds. overhead = total - time awaiting the model."""

    total_s: float
    model_s: float = 0.0
    cache_s: float = 0.0

    @property
    def overhead_s(self) -> float:
        return max(0.0, self.total_s - self.model_s)


class Classification(Struct, frozen=True):
    """The answer to one ticket, ready for every door: HTTP, batch, command, log and metrics."""

    id: str
    answer: Answer
    source: Source
    usage: Usage
    cost: Cost
    stages: Stages
    route: str
    attempts: tuple[Attempt, ...] = ()
