"""The fake helpdesk's HTTP: faults by plan, rate limits, and an agent with bad timing."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl

import msgspec

from tests.support.helpdesk.store import Edit, FakeTicket, Store
from tests.support.redis_server import free_port
from tests.support.upstream import served

Fault = Literal[
    "401", "403", "429", "500", "503", "hang", "garbage", "empty", "redirect", "huge",
    # these apply the call first
    "drop", "applied_500",
]  # fmt: skip
Plan = Callable[["ApiCall"], Fault | None]
_BODIES: dict[Fault, bytes] = {
    "hang": b"",  # nobody answers at all
    "garbage": b"<html>\xff</html>",
    "empty": b"{}",
    "huge": b" " * 9_000_000,  # more than any answer of an API
}
_AFTER: frozenset[Fault] = frozenset({"drop", "applied_500"})


@dataclass
class ApiCall:
    """One request to the fake's API."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    raw: bytes = b""

    @property
    def writes(self) -> bool:
        return self.method != "GET" and not re.search("oauth|search|batch/read", self.path)


@dataclass
class Reply:
    """One answer of the fake's API; `ticket_read` is the ticket whose values it showed."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    ticket_read: str = ""


class Dialect(Protocol):
    """One vendor's API over the store. Promise: answers 404 to what that vendor has not."""

    @staticmethod
    def limited(wait_s: float) -> dict[str, str]:
        """How a 429 says how long to wait."""
        ...

    def authorised(self, headers: dict[str, str]) -> bool: ...

    def answer(self, call: ApiCall, store: Store) -> Reply: ...


class FakeHelpdesk:
    """One account. `plan` decides the fault of each call, `edits` what agents do after a read."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.store = Store()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.calls: list[ApiCall] = []
        self.plan: Plan = _no_fault
        self.delay_s = 0.0
        self.limit_per_s: float | None = None
        self._edits: dict[str, tuple[int, Edit]] = {}
        self._reads: Counter[str] = Counter()
        self._taken: list[float] = []

    def ticket(self, id: str, **values: Any) -> FakeTicket:
        return self.store.add(FakeTicket(id, **values))

    def agent_edits(self, id: str, edit: Edit, *, after_reads: int = 1) -> None:
        """An agent saves an edit right after the n-th answer that showed this ticket's values."""
        self._reads[id] = 0
        self._edits[id] = (after_reads, edit)

    def faults(self, *faults: Fault | None) -> None:
        """The next calls meet these faults, one each; then all is well."""
        waiting = list(faults)

        def plan(call: ApiCall) -> Fault | None:
            return waiting.pop(0) if waiting else None

        self.plan = plan

    def always(self, fault: Fault) -> None:
        """Every call meets this fault from now on."""

        def plan(call: ApiCall) -> Fault | None:
            return fault

        self.plan = plan

    def faults_on_writes(self, *faults: Fault | None) -> None:
        """The next writes meet these faults; reads are well."""
        waiting = list(faults)
        self.plan = lambda call: waiting.pop(0) if waiting and call.writes else None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[FakeHelpdesk]:
        async with served(self, self.port):
            yield self

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        data = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # the caller died before it had said everything
            data += message.get("body", b"")
            if not message.get("more_body"):
                break
        reply = await self._reply(_call(scope, data))
        if reply is None:  # nobody answers, and the caller goes when it has had enough
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await _send(send, reply)

    async def _reply(self, call: ApiCall) -> Reply | None:
        self.calls.append(call)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if not self.dialect.authorised(call.headers):
            return Reply(401, {"error": "unauthorised"})
        if self._is_over_limit():
            return Reply(429, {"error": "rate limited"}, self.dialect.limited(1.0))
        fault = self.plan(call)
        if fault is not None and fault not in _AFTER:
            return self._faulty(fault)
        reply = self.dialect.answer(call, self.store)
        self._let_the_agent_edit(reply.ticket_read)
        if fault == "drop":
            return None
        return Reply(500, {"error": "lost"}) if fault == "applied_500" else reply

    def _faulty(self, fault: Fault) -> Reply | None:
        if fault in _BODIES:
            return None if fault == "hang" else Reply(200, _BODIES[fault])
        if fault == "redirect":
            return Reply(307, None, {"location": f"{self.url}/elsewhere"})
        headers = self.dialect.limited(1.0) if fault == "429" else {}
        return Reply(int(fault), {"error": "on purpose"}, headers)

    def _is_over_limit(self) -> bool:
        if self.limit_per_s is None:
            return False
        now = time.monotonic()
        self._taken = [at for at in self._taken if at > now - 1.0]
        if len(self._taken) >= self.limit_per_s:
            return True
        self._taken.append(now)
        return False

    def _let_the_agent_edit(self, id: str) -> None:
        if not id or id not in self._edits:
            return
        self._reads[id] += 1
        after, edit = self._edits[id]
        if self._reads[id] == after:
            self.store.change(id, edit, "agent")


def _no_fault(call: ApiCall) -> Fault | None:
    return None


Handler = Callable[[ApiCall, Store, re.Match[str]], Reply]
Route = tuple[str, str, Handler]


def routed(routes: Sequence[Route], call: ApiCall, store: Store) -> Reply:
    """The first route whose method and whole path match answers; else 404."""
    for method, pattern, handler in routes:
        match = re.fullmatch(pattern, call.path)
        if match and method == call.method:
            return handler(call, store, match)
    return Reply(404, {"error": "no such call"})


def about_ticket(handler: Callable[[ApiCall, Store, FakeTicket], Reply]) -> Handler:
    """A route whose first group is a ticket's id: 404 without one; gives it as readers see it."""

    def answer(call: ApiCall, store: Store, match: re.Match[str]) -> Reply:
        shown = store.read(match[1])
        return (
            Reply(404, {"error": "no such ticket"})
            if shown is None
            else handler(call, store, shown)
        )

    return answer


def _call(scope: Any, data: bytes) -> ApiCall:
    try:
        body = msgspec.json.decode(data) if data else None
    except msgspec.DecodeError:
        body = dict(parse_qsl(data.decode()))
    return ApiCall(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode())),
        headers={name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        raw=data,
    )


async def _send(send: Any, reply: Reply) -> None:
    body = reply.body
    data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    headers = {"content-type": "application/json", **reply.headers}
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": data})
