"""Around the app, for one request: the ends of answers that uvicorn words badly."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from classifier.api.context import request_id
from classifier.edge.refusals import refusal
from classifier.errors import Ending


def answering(app: Any, cycle: RequestResponseCycle) -> Any:
    """The app, whose callers get an answer that they understand even when it is cut off."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["http_version"] == "1.0":
            send = _until_closed(cycle, send)
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if cycle.response_started:
                raise  # half an answer: the connection breaks, so that nobody takes it for a whole one
            cycle.response_started = cycle.response_complete = True
            error = Ending("the service is ending; send it again", retry_after_s=1)
            cycle.transport.write(refusal(error, request_id(scope)))
            cycle.transport.close()

    return wrapped


def _until_closed(cycle: RequestResponseCycle, send: Any) -> Any:
    """HTTP/1.0 knows no chunks: what has no length ends with its connection (RFC 9112 §6.3)."""
    is_unmeasured = False

    async def sent(message: Any) -> None:
        nonlocal is_unmeasured
        if message["type"] == "http.response.start":
            is_unmeasured = not any(
                name.lower() == b"content-length" for name, _ in message["headers"]
            )
            if is_unmeasured:
                cycle.chunked_encoding = False
        elif is_unmeasured:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return sent
