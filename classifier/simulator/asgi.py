"""HTTP as the simulator needs it: a request read whole, an answer sent whole, in drops or cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from msgspec import Struct

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

MAX_BODY_BYTES = 4_194_304
_DROPS = 20


class Request(Struct, frozen=True):
    """One request, read whole. `body` is None when it was larger than MAX_BODY_BYTES."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes | None

    def header(self, name: str) -> str:
        return self.headers.get(name.encode(), b"").decode("latin-1").strip()


class Answer(Struct, frozen=True):
    """What is sent, how, and the seconds it pretends to have taken."""

    status: int
    body: bytes
    headers: Headers = ()
    content_type: bytes = b"application/json"
    took_s: float = 0.0
    delivery: Literal["whole", "drops", "cut", "never"] = "whole"
    drops_s: float = 0.0


async def read(scope: Message, receive: Receive) -> Request:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        more = message.get("more_body", False)
    body = b"".join(chunks) if size <= MAX_BODY_BYTES else None
    return Request(scope["method"], scope["path"], dict(scope["headers"]), body)


async def deliver(answer: Answer, headers: Headers, receive: Receive, send: Send) -> None:
    """Sends the answer in its way. A cut one ends without its last byte: the server hangs up."""
    if answer.delivery == "never":
        await _until_gone(receive)
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    match answer.delivery:
        case "drops":
            await _drip(answer, send)
        case "cut":
            half = answer.body[: len(answer.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        case _:
            await send({"type": "http.response.body", "body": answer.body})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drip(answer: Answer, send: Send) -> None:
    size = len(answer.body) // _DROPS + 1
    for start in range(0, len(answer.body), size):
        drop = answer.body[start : start + size]
        await send({"type": "http.response.body", "body": drop, "more_body": True})
        await asyncio.sleep(answer.drops_s / _DROPS)
    await send({"type": "http.response.body", "body": b""})
