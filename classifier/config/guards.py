"""How a path is guarded: its breaker, its retries and its hedge."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from classifier.config.section import Name, Seconds, Section, Share

Count = Annotated[int, Meta(ge=1, le=1_000)]


class Breaker(Section, frozen=True, kw_only=True):
    """When a path is left alone, and how soon it is tried again."""

    failures_in_a_row: Annotated[Count, Meta(description="failures in a row that open it")] = 5
    window: Annotated[Count, Meta(description="last calls whose failures are counted")] = 20
    min_calls: Annotated[
        Count, Meta(description="calls in the window before `failure_share` says anything")
    ] = 10
    failure_share: Annotated[
        Share, Meta(description="part of the window that opens it by failing")
    ] = 0.5
    slow_s: (
        Annotated[
            Seconds,
            Meta(
                description="an answer that takes longer counts as failed; without it only those "
                "that run into `timeout_s`"
            ),
        ]
        | None
    ) = None
    open_s: Annotated[
        Seconds, Meta(description="first pause before a call may try the path again; doubles")
    ] = 2.0
    max_open_s: Annotated[Seconds, Meta(description="longest such pause")] = 7.0
    hopeless_s: Annotated[
        Seconds,
        Meta(description="the pause after a spent quota, a wrong key or a model that is gone"),
    ] = 60.0
    successes: Annotated[
        Count, Meta(description="calls, one at a time, that must succeed before it closes")
    ] = 2


class Retry(Section, frozen=True, kw_only=True):
    """What all tickets of a path together may ask again, and what one ticket may wait for it."""

    share: Annotated[
        Share, Meta(description="retries per call, over time; hedges count against the same tenth")
    ] = 0.1
    burst: Annotated[Count, Meta(description="retries that may be saved up")] = 10
    max_wait_s: Annotated[
        Seconds,
        Meta(description="longest Retry-After that is waited for while another path is left"),
    ] = 0.5


class Hedge(Section, frozen=True, kw_only=True):
    """A second call beside one that takes unusually long; the first label wins."""

    to: Annotated[Name, Meta(description="the path of the second call; without it: the same")] | (
        None
    ) = None
    share: Annotated[
        Annotated[float, Meta(gt=0.0, le=0.1)], Meta(description="second calls per call, over time")
    ] = 0.05
    burst: Annotated[Count, Meta(description="second calls that may be saved up")] = 3
    warmup_s: Annotated[
        Seconds, Meta(description="the delay until 50 calls have shown how long one takes")
    ] = 0.3
    min_delay_s: Annotated[Seconds, Meta(description="shortest delay of the second call")] = 0.02
    max_delay_s: Annotated[Seconds, Meta(description="longest delay of the second call")] = 3.0
