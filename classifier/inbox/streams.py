"""The queues in Redis Streams: for several machines, on a Redis of their own that keeps what it has.

Not the cache's: one that evicts keys to make room ate a whole stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from secrets import token_hex
from typing import Any, Protocol, TypeVar

from redis.exceptions import RedisError, ResponseError

from classifier.inbox import scripts
from classifier.inbox.queues import (
    QUEUES,
    Away,
    Claimed,
    DeadLetter,
    DeadReason,
    Depth,
    Durability,
    Entry,
    FollowUp,
    Limits,
    QueueName,
)

T = TypeVar("T")
_LONGEST_PAUSE_S = 3_600.0  # a due moment beyond it comes from a clock that was turned back
_POLL_S = 0.1  # another process put something in, or a pause or a lease is over


class Redis(Protocol):
    """What the queues ask of a Redis: scripts, and what it says of itself.

    Calls raise RedisError or OSError; the queues limit how long they take.
    """

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[bytes | str]) -> Any:
        """The reply of one Lua script; strings as bytes."""
        ...

    async def setting(self, name: str) -> str | None:
        """CONFIG GET; None where the server does not tell."""
        ...

    async def aclose(self) -> None: ...


class RedisQueues:
    """`Queues` in Redis. They keep what was put as long as Redis does: `open` looks how long that is."""

    def __init__(
        self, redis: Redis, limits: Limits, *, name: str = "classifier", timeout_s: float = 1.0
    ) -> None:
        self._redis = redis
        self._limits = limits
        self._name = name
        self._timeout_s = timeout_s
        self._consumer = token_hex(8)
        self._put_here = {queue: asyncio.Event() for queue in QUEUES}

    async def open(self) -> Durability:
        await self._make_groups()
        appends = await self._setting("appendonly")
        policy = await self._setting("maxmemory-policy")
        if appends is None or policy is None:
            return "unknown"
        evicts = policy.startswith("allkeys-")  # `volatile-` takes only keys that expire anyway
        return "durable" if appends == "yes" and not evicts else "unsafe"

    async def put(self, queue: QueueName, entries: Sequence[Entry]) -> int:
        parts: list[Any] = [_ms(self._limits.dedupe_s)]
        for entry in entries:
            parts += [entry.key, entry.order, entry.payload]
        new = int(await self._call(scripts.PUT, [self._key(queue)], parts))
        self._put_here[queue].set()
        return new

    async def claim(self, queue: QueueName, most: int, *, alone: bool = False) -> list[Claimed]:
        limits = self._limits
        lane = "alone" if alone else "stream"
        asked = [
            lane, self._consumer, min(most, 1) if alone else most, _ms(limits.lease_s),
            limits.alone_after_crashes, limits.dead_after_crashes, _ms(_LONGEST_PAUSE_S),
        ]  # fmt: skip
        rows = await self._call(scripts.CLAIM, [self._key(queue)], asked)
        return [_claimed(queue, lane, row_id, fields) for row_id, fields in rows]

    async def wait(self, queue: QueueName, at_most_s: float) -> None:
        event = self._put_here[queue]
        event.clear()
        try:
            async with asyncio.timeout(min(at_most_s, _POLL_S)):
                await event.wait()
        except TimeoutError:
            return

    async def renew(self, claimed: Sequence[Claimed]) -> None:
        places = [_place(each) for each in claimed]
        streams = [
            self._stream(each.queue, lane) for each, (lane, _) in zip(claimed, places, strict=True)
        ]
        if streams:
            ids = [row_id for _, row_id in places]
            await self._call(scripts.RENEW, streams, [self._consumer, *ids])

    async def done(self, claimed: Claimed, then: Sequence[FollowUp] = ()) -> None:
        keys = [self._key(claimed.queue), *(self._key(each.queue) for each in then)]
        parts: list[Any] = [*_place(claimed), _ms(self._limits.dedupe_s)]
        for each in then:
            parts += [each.entry.key, each.entry.order, each.entry.payload]
        await self._call(scripts.DONE, keys, parts)
        for each in then:
            self._put_here[each.queue].set()

    async def again(self, claimed: Claimed, after_s: float, *, counts: bool = True) -> None:
        asked = [*_place(claimed), _ms(min(after_s, _LONGEST_PAUSE_S)), int(counts)]
        await self._call(scripts.AGAIN, [self._key(claimed.queue)], asked)

    async def bury(self, claimed: Claimed, reason: DeadReason) -> None:
        await self._call(scripts.BURY, [self._key(claimed.queue)], [*_place(claimed), reason])

    async def depth(self, queue: QueueName) -> Depth:
        found = await self._call(scripts.DEPTH, [self._key(queue)], [])
        waiting, alone, claimed, dead, oldest_ms = found
        return Depth(waiting, alone, claimed, dead, oldest_ms / 1_000)

    async def dead_letters(self, queue: QueueName, most: int = 100) -> list[DeadLetter]:
        rows = await self._call(scripts.LETTERS, [self._key(queue)], [most])
        return [_letter(row_id, fields) for row_id, fields in rows]

    async def revive(self, queue: QueueName, letter_id: str) -> bool:
        revived = await self._call(scripts.REVIVE, [self._key(queue)], [letter_id])
        self._put_here[queue].set()
        return bool(revived)

    async def drop(self, queue: QueueName, letter_id: str) -> bool:
        return bool(await self._call(scripts.DROP, [self._key(queue)], [letter_id]))

    async def remember(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._call(scripts.REMEMBER, [self._fact(key)], [value, _ms(ttl_s)])

    async def recall(self, key: str) -> bytes | None:
        found: bytes | None = await self._call(scripts.RECALL, [self._fact(key)], [])
        return found

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _fact(self, key: str) -> str:
        return f"{{{self._name}}}:fact:{key}"

    def _key(self, queue: QueueName) -> str:
        return f"{{{self._name}}}:{queue}"  # the braces keep all keys in one slot of a cluster

    def _stream(self, queue: QueueName, lane: str) -> str:
        return f"{self._key(queue)}:{lane}"

    async def _make_groups(self) -> None:
        lanes = [self._stream(queue, lane) for queue in QUEUES for lane in ("stream", "alone")]
        await self._within(lambda: self._redis.run(scripts.OPEN, lanes, []))

    async def _call(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        plain = [each if isinstance(each, bytes) else str(each) for each in arguments]
        return await self._within(lambda: self._redis.run(script, keys, plain))

    async def _setting(self, name: str) -> str | None:
        return await self._within(lambda: self._redis.setting(name))

    async def _within(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call()
        except (TimeoutError, RedisError, OSError) as error:
            if isinstance(error, ResponseError) and "NOGROUP" in str(error):
                await self._make_groups()  # the server came back empty: the next call works again
            raise Away(type(error).__name__) from error


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1_000))


def _place(claimed: Claimed) -> tuple[str, str]:
    lane, _, row_id = claimed.id.partition("/")
    return lane, row_id


def _named(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


def _claimed(queue: QueueName, lane: str, row_id: bytes, fields: Sequence[bytes]) -> Claimed:
    named = _named(fields)
    entry = Entry(named[b"k"].decode(), named[b"p"], named[b"o"].decode())
    return Claimed(
        queue,
        f"{lane}/{row_id.decode()}",
        entry,
        float(named[b"a"]) / 1_000,
        int(named[b"c"]),
        int(named[b"t"]),
    )


def _letter(row_id: bytes, fields: Sequence[bytes]) -> DeadLetter:
    named = _named(fields)
    reason: DeadReason = named[b"r"].decode()  # type: ignore[assignment]  # written by our own scripts
    return DeadLetter(
        row_id.decode(),
        named[b"k"].decode(),
        reason,
        int(named[b"c"]),
        int(named[b"t"]),
        float(named[b"a"]) / 1_000,
        float(named[b"d"]) / 1_000,
        len(named[b"p"]),
    )
