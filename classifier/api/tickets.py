"""The doors for tickets: one at a time, and batches as NDJSON."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from msgspec import structs

from classifier.api.answers import answered, server_timing
from classifier.api.auth import Doorkeeper
from classifier.api.batch import MEDIA_TYPE, BatchAnswer
from classifier.api.body import check_media_type, check_size, read_all, read_ticket
from classifier.api.context import request_id
from classifier.api.wishes import read_wish
from classifier.logs import ticket_classified
from classifier.pipeline import Pipeline

_encode = msgspec.json.Encoder().encode
NDJSON = (MEDIA_TYPE, "application/ndjson", "application/jsonl")


def ticket_doors(
    pipeline: Pipeline, door: Doorkeeper, *, log_tickets: bool
) -> list[HTTPRouteHandler]:
    """Handlers over finished objects: nothing is injected or validated per request."""

    @post("/classify", summary="Classify one ticket", tags=["tickets"], request_max_body_size=None)
    async def classify(request: Request[Any, Any, Any]) -> Response[bytes]:
        door.check(request)
        pipeline.check("classify")
        check_media_type(request, ("application/json",))
        server = pipeline.assembly.config.server
        wish = read_wish(request, "classify", server)
        ticket = read_ticket(await read_all(request, server.max_body_bytes, wish.timeout_s))
        classification = await pipeline.classify(ticket, wish)
        if log_tickets:
            ticket_classified(classification, request_id(request.scope))
        return Response(
            _encode(answered(classification)),
            status_code=200,
            media_type="application/json",
            headers={"Server-Timing": server_timing(classification.stages)},
        )

    @post("/classify/batch", summary="Classify many", tags=["tickets"], request_max_body_size=None)
    async def classify_batch(request: Request[Any, Any, Any]) -> BatchAnswer:
        door.check(request)
        pipeline.admission.check_batch()
        check_media_type(request, NDJSON)
        config = pipeline.assembly.config
        queue_s = config.overload.batch_wait_s
        wish = structs.replace(read_wish(request, "batch", config.server), queue_s=queue_s)
        check_size(request, config.server.max_batch_bytes)
        return BatchAnswer(request, pipeline, wish, log_tickets=log_tickets)

    return [classify, classify_batch]
