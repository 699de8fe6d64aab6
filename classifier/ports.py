"""The sockets of the house: what a part promises to whoever plugs into it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from classifier.records import Answer, Attempt, Classification, Door, Reply


class RawReply(Struct, frozen=True):
    """An endpoint's 200 answer, unread."""

    body: bytes
    server_time_s: float | None = None
    simulated: bool = False


class Endpoint(Protocol):
    """Sends one request to a model server.

    Promise: returns a RawReply or raises AttemptFailed, within `timeout_s`; retries nothing; a
    cancelled call releases its connection.
    """

    async def post(self, route: str, body: bytes, timeout_s: float) -> RawReply: ...

    async def warm(self) -> bool:
        """Opens a connection; false when the server cannot be reached. Never raises."""
        ...

    async def aclose(self) -> None: ...


class Codec(Protocol):
    """Speaks one backend kind: a ticket's text into a request body, an answer's bytes into a Reply.

    Promise: no I/O; `decode` raises AttemptFailed("garbage") for bytes it cannot read.
    """

    route: str

    def encode(self, ticket_text: str) -> bytes: ...

    def decode(self, raw: RawReply) -> Reply: ...


class AnswerCache(Protocol):
    """Remembers answers by key.

    Promise: may forget at any time, never raises, never takes longer than its one time limit.
    """

    async def get(self, key: str) -> Answer | None: ...

    def put(self, key: str, answer: Answer) -> None:
        """Stores for `answer.ttl_s` seconds, in the background: the caller does not wait."""
        ...

    async def aclose(self) -> None: ...


class CacheObserver(Protocol):
    """Told about the cache. Promise: returns at once and never raises."""

    def cache_operation(
        self, tier: str, operation: str, outcome: str, duration_s: float
    ) -> None: ...

    def cache_away(self, *, away: bool) -> None: ...


class Observer(CacheObserver, Protocol):
    """Told about everything that happened to tickets. Promise: returns at once and never raises."""

    def attempted(self, attempt: Attempt) -> None: ...

    def classified(self, classification: Classification, door: Door) -> None: ...

    def failed(self, door: Door, outcome: str, total_s: float) -> None: ...

    def shadowed(self, path: str, agreement: str) -> None: ...
