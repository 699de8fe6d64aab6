"""The durable queues' promise, and the records that lie in them.

put ─▶ waiting ─▶ claimed ─┬─ done (and its follow-ups put, in one step)
          ▲                ├─ again: later, after a failure that was noticed
          │                ├─ bury: a dead letter, with the reason
          └─ lease ran out ┘  crashed: nobody said a word
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

from msgspec import Struct

QueueName = Literal["inbox", "outbox"]
QUEUES: tuple[QueueName, ...] = get_args(QueueName)
# Why an entry is a dead letter. A closed set, because it is a metric label.
DeadReason = Literal[
    "crashed",  # every worker that took it died
    "exhausted",  # failed as often as the config allows
    "refused",  # the helpdesk does not accept it, and never will
    "unreadable",  # written by a version that this one cannot read
]
# What storing needs of the disk or server below it, as far as that can be found out.
Durability = Literal["durable", "unsafe", "unknown"]


class Away(Exception):
    """The queues cannot be reached, or cannot promise durability now: nothing was stored."""


class Entry(Struct, frozen=True):
    """What is kept until it is done.

    `key`: a second put of the same key is a duplicate for as long as the config says. `order`:
    entries that share one are worked one at a time, oldest first; "" for those that need no order.
    """

    key: str
    payload: bytes
    order: str = ""


class Claimed(Struct, frozen=True):
    """An entry in one worker's hands until its lease runs out.

    `crashes`: how often its lease ran out since anybody could hand it back; `tries`: how often it
    was handed back; `accepted_at`: seconds since 1970.
    """

    queue: QueueName
    id: str
    entry: Entry
    accepted_at: float
    crashes: int = 0
    tries: int = 0


class FollowUp(Struct, frozen=True):
    """What comes of an entry that is done: put in the same step."""

    queue: QueueName
    entry: Entry


class DeadLetter(Struct, frozen=True):
    """A dead letter as an operator sees it: everything but its content."""

    id: str
    key: str
    reason: DeadReason
    crashes: int
    tries: int
    accepted_at: float
    died_at: float
    size_bytes: int


class Depth(Struct, frozen=True):
    """How full a queue is. `oldest_s`: age of the oldest entry that is neither done nor dead.

    `waiting` includes `alone`: those that wait in the quarantine lane.
    """

    waiting: int
    alone: int
    claimed: int
    dead: int
    oldest_s: float


class Limits(Struct, frozen=True, kw_only=True):
    """When a worker counts as dead, and how often an entry may take one with it."""

    lease_s: float = 6.0
    alone_after_crashes: int = 2
    dead_after_crashes: int = 5
    dedupe_s: float = 259_200.0


class Queues(Protocol):
    """Both queues in one durable place.

    Promise: what `put` returned for is there after a crash of anything but the disk itself;
    whatever was claimed and not ended comes back when its lease runs out, on a quiet queue too; an
    entry that crashed `alone_after_crashes` workers is only claimed alone, so that its neighbours
    are never blamed for it. Every call may raise Away; then nothing has changed that would matter
    twice: calls may be repeated.
    """

    async def open(self) -> Durability:
        """Makes ready what is kept; says whether it really is kept."""
        ...

    async def put(self, queue: QueueName, entries: Sequence[Entry]) -> int:
        """Stores all in one step, durably; the number of those that were no duplicates."""
        ...

    async def claim(self, queue: QueueName, most: int, *, alone: bool = False) -> list[Claimed]:
        """At once, possibly nothing. `alone`: from the quarantine lane instead, at most one."""
        ...

    async def wait(self, queue: QueueName, at_most_s: float) -> None:
        """Returns when there may be something to claim."""
        ...

    async def renew(self, claimed: Sequence[Claimed]) -> None:
        """Starts the leases anew: their worker is alive."""
        ...

    async def done(self, claimed: Claimed, then: Sequence[FollowUp] = ()) -> None: ...

    async def again(self, claimed: Claimed, after_s: float, *, counts: bool = True) -> None:
        """Hands back: to be claimed again after so many seconds, by whomever.

        `counts` false: it was not tried at all, it only had to wait.
        """
        ...

    async def bury(self, claimed: Claimed, reason: DeadReason) -> None: ...

    async def depth(self, queue: QueueName) -> Depth: ...

    async def dead_letters(self, queue: QueueName, most: int = 100) -> list[DeadLetter]:
        """The oldest first."""
        ...

    async def revive(self, queue: QueueName, letter_id: str) -> bool:
        """A dead letter waits again, as if it had just come; false when there is none such."""
        ...

    async def drop(self, queue: QueueName, letter_id: str) -> bool:
        """Forgets a dead letter for good; false when there is none such."""
        ...

    async def remember(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps one fact as durably as the queues, for all their workers: the last value counts."""
        ...

    async def recall(self, key: str) -> bytes | None: ...

    async def aclose(self) -> None: ...
