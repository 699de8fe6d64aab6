"""The door for helpdesks: `/webhooks/{source}`, proven by the vendor's own signature."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from litestar import HttpMethod, Request, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from classifier.api.body import read_all
from classifier.errors import NotFound
from classifier.helpdesks.port import Delivery
from classifier.loop.intake import Intake

_READ_S = 5.0  # less than the shortest time a vendor is known to wait


def webhook_doors(
    intake: Intake | None, max_body_bytes: Callable[[], int]
) -> list[HTTPRouteHandler]:
    """Vendors probe with HEAD, and some sign GET-like set-up requests: all reach the same reader."""

    @route(
        "/webhooks/{source:str}",
        http_method=[HttpMethod.POST, HttpMethod.HEAD],
        summary="A helpdesk's event",
        description="The body and its proof are the vendor's; see docs/helpdesks.md. A 2xx means "
        "that the event is stored and survives a crash.",
        tags=["helpdesks"],
        request_max_body_size=None,
    )
    async def webhook(request: Request[Any, Any, Any], source: FromPath[str]) -> Response[bytes]:
        if intake is None:
            raise NotFound("there are no helpdesks in the config")
        body = await read_all(request, max_body_bytes(), _READ_S)
        delivery = Delivery(request.method, str(request.url), _headers(request), body, time.time())
        answer = await intake.take(source, delivery)
        media_type = answer.headers.get("content-type", "text/plain; charset=utf-8")
        return Response(
            answer.body, status_code=answer.status, headers=answer.headers, media_type=media_type
        )

    return [webhook]


def _headers(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Lower-case names; of a header that was sent twice, the first: a forger cannot add a second."""
    found: dict[str, str] = {}
    for name, value in request.scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found
