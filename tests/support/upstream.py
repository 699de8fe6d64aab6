"""A scripted model server: answers what the test says, counts and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn

from tests.support.redis_server import free_port

Respond = Callable[["Call"], Awaitable["Scripted"]]


class Call:
    """One request as it came: route, headers (lower case) and JSON body."""

    def __init__(self, route: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.route = route
        self.headers = headers
        self.body = body

    @property
    def ticket(self) -> str:
        """The ticket's text as the model saw it."""
        if self.route.endswith("/decisions"):
            return str(self.body["input"])
        return str(self.body["messages"][-1]["content"])


class Scripted:
    """One response: status, body and headers."""

    def __init__(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status = status
        self.headers = {"content-type": "application/json", **(headers or {})}


# A response that never comes: the request stays open until the caller has had enough.
NEVER = Scripted(b"")


def completion(label: str | None, **changes: Any) -> dict[str, Any]:
    """A chat completion in the vendor's shape, with usage and one token's log probability."""
    found: dict[str, Any] = {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1,
        "model": "test",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": label, "refusal": None},
                "logprobs": {
                    "content": [
                        {"token": label or "", "logprob": -0.01, "bytes": None, "top_logprobs": []}
                    ]
                },
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 2,
            "total_tokens": 102,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        },
    }
    return found | changes


def decision(label: str, probability: float = 0.9, **changes: Any) -> dict[str, Any]:
    """A decision in the vendor's shape."""
    found: dict[str, Any] = {
        "model": "test",
        "answers": [
            {
                "type": "choice",
                "name": "label",
                "choice": label,
                "confidence": probability,
                "probabilities": [{"value": label, "probability": probability}],
            }
        ],
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 100,
        },
    }
    return found | changes


class Upstream:
    """`respond` decides per call; by default every ticket is `billing`. Counts open requests too."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.calls: list[Call] = []
        self.respond: Respond = self._billing
        self.delay_s = 0.0

    def answers(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Every call gets this response from now on."""

        async def respond(call: Call) -> Scripted:
            return Scripted(body, status, headers)

        self.respond = respond

    def hangs(self) -> None:
        """No call gets a response from now on."""

        async def respond(call: Call) -> Scripted:
            return NEVER

        self.respond = respond

    def answers_in_turn(self, *responses: Scripted) -> None:
        """The first call gets the first response, and so on; further calls get the last one."""
        waiting = list(responses)

        async def respond(call: Call) -> Scripted:
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

        self.respond = respond

    async def _billing(self, call: Call) -> Scripted:
        body = decision("billing") if call.route.endswith("/decisions") else completion("billing")
        return Scripted(body)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        data = b""
        while True:
            message = await receive()
            data += message.get("body", b"")
            if not message.get("more_body"):
                break
        found = await self._answer(scope, data)
        if found is NEVER:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        headers = [(name.encode(), value.encode()) for name, value in found.headers.items()]
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body", "body": found.body})

    async def _answer(self, scope: Any, data: bytes) -> Scripted:
        if scope["method"] == "GET":
            return Scripted({"object": "list", "data": []})
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        call = Call(scope["path"].removeprefix("/v1"), headers, json.loads(data))
        self.calls.append(call)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return await self.respond(call)


class _QuickServer(uvicorn.Server):
    """Ends as uvicorn does, in steps of 10 ms instead of 100 ms: tests start hundreds of them."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # noqa: ASYNC110 -- uvicorn only sets a flag
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:  # noqa: ASYNC110 -- as above
                    await asyncio.sleep(0.01)
        for task in state.tasks:
            task.cancel()
        await self.lifespan.shutdown()


@asynccontextmanager
async def served(app: Any, port: int, **more: Any) -> AsyncIterator[uvicorn.Server]:
    """Runs an ASGI app on a port, in this loop, until the block ends; `more` is uvicorn's config."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, access_log=False,
        timeout_graceful_shutdown=1, timeout_keep_alive=75, lifespan="auto", **more,
    )  # fmt: skip
    server = _QuickServer(config)
    task = asyncio.create_task(server._serve())  # noqa: SLF001 -- `serve` would take pytest's signals
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server ended before it started")
        await asyncio.sleep(0.005)
    try:
        yield server
    finally:
        server.should_exit = True
        await task
