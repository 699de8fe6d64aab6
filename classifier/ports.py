"""The sockets of the house: what a part promises to whoever plugs into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from classifier.records import Answer, Attempt, Classification, Cost, Door, Reply, Ticket


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


class Found(Struct, frozen=True):
    """What a cache has under a key. `left_s`: how much longer the answer may be remembered.

    `lent`: another process was asking for the same ticket, and this is what it was told.
    """

    answer: Answer | None = None
    left_s: float = 0.0
    lent: bool = False


NOTHING = Found()


class AnswerCache(Protocol):
    """Remembers answers by key.

    Promise: may forget at any time, never raises, never takes longer than its one time limit.
    """

    def look_up(self, key: str) -> Answer | None:
        """What is at hand without asking anybody."""
        ...

    async def claim(self, key: str, patience_s: float) -> Found:
        """The answer, or nothing and the turn to ask a model for it.

        While another process has the turn its answer is waited for, `patience_s` at most; 0 takes
        no turn and waits for nobody. Who got nothing ends with `put` or `release`.
        """
        ...

    async def get(self, key: str) -> Answer | None:
        """The answer alone; takes no turn."""
        ...

    def put(self, key: str, answer: Answer) -> None:
        """Stores for `answer.ttl_s` seconds, in the background: the caller does not wait."""
        ...

    def release(self, key: str) -> None:
        """Gives the turn back without an answer, in the background; nothing to do without one."""
        ...

    async def aclose(self) -> None: ...


class Store(Protocol):
    """What replicas share. Promise: None when it did not answer within its one time limit."""

    async def run(
        self, operation: str, script: str, keys: Sequence[str], arguments: Sequence[bytes | str]
    ) -> Any: ...


class Hold(Protocol):
    """Money set aside for one call."""

    def settle(self, cost: Cost) -> None:
        """Once, when the call has ended."""
        ...


class Purse(Protocol):
    """Pays for calls to models."""

    async def reserve(self, path: str, amount: int | None) -> Hold | None:
        """Sets aside nano-dollars before a call; None when there are no more. `amount` None: no price."""
        ...


class Keeper(Protocol):
    """Keeps what was answered. Promise: returns at once and never raises."""

    def classified(self, ticket: Ticket, classification: Classification, account: str) -> None: ...


class CacheObserver(Protocol):
    """Told about the cache. Promise: returns at once and never raises."""

    def cache_operation(
        self, tier: str, operation: str, outcome: str, duration_s: float
    ) -> None: ...

    def cache_away(self, *, away: bool) -> None: ...

    def cache_turn(self, outcome: str) -> None:
        """asking, lent, or gave_up: what became of the turn to ask for one ticket."""
        ...


class GuardObserver(Protocol):
    """Told what guards a path from being asked. Promise: returns at once and never raises."""

    def breaker_changed(self, path: str, state: str, reason: str) -> None: ...

    def retried(self, path: str, outcome: str) -> None: ...

    def hedged(self, path: str, outcome: str) -> None: ...

    def skipped(self, path: str, why: str) -> None: ...


class Observer(CacheObserver, GuardObserver, Protocol):
    """Told about everything that happened to tickets. Promise: returns at once and never raises."""

    def attempted(self, attempt: Attempt) -> None: ...

    def classified(self, classification: Classification, door: Door) -> None: ...

    def failed(self, door: Door, outcome: str, total_s: float) -> None: ...

    def shadowed(self, path: str, agreement: str) -> None: ...
