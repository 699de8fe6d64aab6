"""What every request carries: its id, in and out, and its count by route and status."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any

from litestar.types import HTTPResponseStartEvent, Message, Scope

_VALID_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_HEADER = b"x-request-id"
_KEY = "request_id"
# In a scope's state: the moment of the pipeline's clock at which the request's first bytes were read.
ARRIVED = "arrived"


def request_id(scope: Scope) -> str:
    """The caller's X-Request-Id when it is harmless, otherwise one of ours."""
    state: dict[str, Any] = scope.setdefault("state", {})
    found: str | None = state.get(_KEY)
    if found is None:
        sent = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        found = sent.decode() if _VALID_ID.fullmatch(sent) else token_hex(8)
        state[_KEY] = found
    return found


def stamp(count: Callable[[str, int], None]) -> Callable[[Message, Scope], Awaitable[None]]:
    """A hook on every response's start: adds X-Request-Id and counts the request."""

    async def hook(message: Message, scope: Scope) -> None:
        if message["type"] != "http.response.start":
            return
        start: HTTPResponseStartEvent = message
        start["headers"] = [*start["headers"], (_HEADER, request_id(scope).encode())]
        count(str(scope.get("path_template") or "unmatched"), start["status"])

    return hook
