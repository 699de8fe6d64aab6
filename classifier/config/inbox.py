"""`[inbox]`: how events and write-backs wait, and how often they are tried."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from classifier.config.section import Seconds, Section


class Inbox(Section, frozen=True, kw_only=True):
    """The durable queues between webhooks, models and helpdesks; only with `[[helpdesks]]`.

    In a file under CLASSIFIER_DATA_DIR, or in the Redis of CLASSIFIER_INBOX_REDIS_URL.
    """

    durability: Annotated[
        Literal["required", "wanted"],
        Meta(
            description="`required` refuses to start on a Redis that would lose events when it "
            "dies; `wanted` only warns"
        ),
    ] = "wanted"
    workers: Annotated[
        Literal["serve", "apart"],
        Meta(
            description="`serve`: the service works on its queues itself; `apart`: only "
            "`classifier worker` does"
        ),
    ] = "serve"
    at_once: Annotated[
        int, Meta(ge=1, le=256, description="events (and write-backs) worked on side by side")
    ] = 8
    ticket_timeout_s: Annotated[
        Seconds, Meta(description="time budget of a ticket from the inbox, per try")
    ] = 20.0
    tries: Annotated[
        int,
        Meta(ge=1, le=10_000, description="failures after which an entry is a dead letter"),
    ] = 60
    longest_pause_s: Annotated[
        float,
        Meta(ge=0.1, le=3_600.0, description="pauses between tries double from 0.5 s up to this"),
    ] = 120.0
    lease_s: Annotated[
        float,
        Meta(ge=1.0, le=600.0, description="a worker that is silent for so long counts as dead"),
    ] = 6.0
    dedupe_s: Annotated[
        float,
        Meta(
            ge=60.0,
            le=2_592_000.0,
            description="how long a delivery's key is remembered: longer "
            "than any vendor sends again",
        ),
    ] = 259_200.0
    remember_s: Annotated[
        float,
        Meta(
            ge=3_600.0,
            le=31_536_000.0,
            description="how long it is known what was predicted for and written to a ticket",
        ),
    ] = 2_592_000.0
    batch_from: Annotated[
        int,
        Meta(
            ge=2,
            le=10_000,
            description="write-backs waiting from which vendors that can get batches",
        ),
    ] = 20
    redis_timeout_s: Annotated[
        float, Meta(gt=0, le=10.0, description="limit of one call to the inbox's Redis")
    ] = 1.0
