"""`[overload]`: how many tickets are asked at once, who waits for how long, who is refused."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from classifier.config.section import Seconds, Section

_Count = Annotated[int, Meta(ge=1, le=4_096)]


class Overload(Section, frozen=True, kw_only=True):
    """Bounds of the work in one process. What is above them is refused with 429 in milliseconds."""

    adaptive: Annotated[
        bool,
        Meta(description="whether the limit follows the models' latency; false keeps the initial"),
    ] = True
    min_concurrency: Annotated[_Count, Meta(description="the limit never falls below it")] = 4
    initial_concurrency: Annotated[
        _Count, Meta(description="tickets that ask a model at once, until latency says otherwise")
    ] = 20
    max_concurrency: Annotated[_Count, Meta(description="the limit never grows above it")] = 256
    latency_tolerance: Annotated[
        float,
        Meta(ge=1.0, le=10.0, description="the limit shrinks when models take so many times their usual"),
    ] = 1.5  # fmt: skip
    queue_length: Annotated[
        int, Meta(ge=0, le=4_096, description="most tickets of one priority waiting for a slot")
    ] = 32
    queue_wait_s: Annotated[
        float, Meta(ge=0.0, le=10.0, description="longest wait of a single ticket for a slot")
    ] = 0.1
    batch_share: Annotated[
        float, Meta(gt=0.0, le=1.0, description="most of the slots that batches may hold")
    ] = 0.75
    batch_wait_s: Annotated[
        Seconds, Meta(description="longest wait of a batch's line for a slot, before its own time")
    ] = 60.0
    max_in_flight: Annotated[
        int,
        Meta(ge=1, le=65_536, description="tickets in the process at once, waiting and cached too"),
    ] = 512
    turn_target_s: Annotated[
        float,
        Meta(gt=0.0, le=1.0, description="a turn of the event loop that takes longer leaves no time for "
            "tickets that would get no slot: they are refused unread"),
    ] = 0.005  # fmt: skip
    turn_limit_s: Annotated[
        float,
        Meta(gt=0.0, le=10.0, description="when no turn is shorter any more, only as many single tickets "
            "are read in each as fit into one"),
    ] = 0.1  # fmt: skip
    max_batches: Annotated[_Count, Meta(description="batches answered at once")] = 16
    batch_idle_s: Annotated[
        Seconds, Meta(description="longest pause in a batch's body, or in reading its answer")
    ] = 30.0
    batch_timeout_s: Annotated[
        float, Meta(gt=0.0, le=86_400.0, description="lines not begun by then are refused")
    ] = 3_600.0

    def __post_init__(self) -> None:
        if not self.min_concurrency <= self.initial_concurrency <= self.max_concurrency:
            raise ValueError("min_concurrency <= initial_concurrency <= max_concurrency must hold")
