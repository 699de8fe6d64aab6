"""Answers that the edge gives itself: problem+json like all others, as ready-made bytes."""

from __future__ import annotations

from http import HTTPStatus
from secrets import token_hex

import msgspec

from classifier.api.problems import MEDIA_TYPE, problem
from classifier.errors import ClassifierError


def refusal(error: ClassifierError, request_id: str = "", *, closes: bool = True) -> bytes:
    """A whole HTTP/1.1 response; by default it ends its connection (RFC 9112 §9.6)."""
    request_id = request_id or token_hex(8)
    body = msgspec.json.encode(problem(error, request_id))
    head = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        f"X-Request-Id: {request_id}",
    ]
    if closes:
        head.append("Connection: close")
    if error.retry_after_s is not None:
        head.append(f"Retry-After: {error.retry_after_s}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
