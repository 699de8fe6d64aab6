"""The queues in one SQLite file: for one machine, shared by its processes, without any server."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from classifier.database import Database, T, Work
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

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    order_key TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    due_at REAL NOT NULL,
    pause_s REAL NOT NULL DEFAULT 0,
    leased_until REAL,
    claims INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    dead_reason TEXT,
    died_at REAL,
    payload BLOB NOT NULL -- last: what stands behind a long value is slow to read
);
CREATE INDEX IF NOT EXISTS entries_alive ON entries (queue, id) WHERE dead_reason IS NULL;
CREATE INDEX IF NOT EXISTS entries_dead ON entries (queue, id) WHERE dead_reason IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_order ON entries (queue, order_key, id)
    WHERE dead_reason IS NULL AND order_key <> '';
CREATE INDEX IF NOT EXISTS entries_leased ON entries (queue, leased_until)
    WHERE dead_reason IS NULL AND leased_until IS NOT NULL;
CREATE TABLE IF NOT EXISTS seen (
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_until ON seen (until);
CREATE TABLE IF NOT EXISTS facts (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS facts_until ON facts (until);
"""
# The clock may jump back: a lease or a pause that ends later than any can is over.
_RELEASE = """
UPDATE entries SET leased_until = NULL, crashes = crashes + 1
WHERE queue = :queue AND dead_reason IS NULL
  AND leased_until IS NOT NULL AND (leased_until <= :now OR leased_until > :now + 2 * :lease_s)
"""
_BURY_CRASHED = """
UPDATE entries SET dead_reason = 'crashed', died_at = :now
WHERE queue = :queue AND dead_reason IS NULL AND leased_until IS NULL AND crashes >= :dead_after
"""
_DUE = """
SELECT id, claims + 1, key, payload, order_key, accepted_at, crashes, tries FROM entries AS mine
WHERE queue = :queue AND dead_reason IS NULL AND leased_until IS NULL
  AND (due_at <= :now OR due_at > :now + pause_s)
  AND (crashes >= :alone_after) = :alone -- the quarantine lane, or the rest
  AND (order_key = '' OR NOT EXISTS (
      SELECT 1 FROM entries AS earlier
      WHERE earlier.queue = mine.queue AND earlier.order_key = mine.order_key
        AND earlier.order_key <> '' AND earlier.dead_reason IS NULL AND earlier.id < mine.id
  ))
"""
_OLDEST = _DUE + "ORDER BY id LIMIT :most"
_LEAST_CRASHED = _DUE + "ORDER BY crashes, id LIMIT :most"

# A word from a worker whose lease ran out, while somebody else has the entry, changes nothing.
_RENEW = """
UPDATE entries SET leased_until = :until
WHERE id = :id AND claims = :claims AND leased_until IS NOT NULL
"""
_AGAIN = """
UPDATE entries SET leased_until = NULL, crashes = 0, tries = tries + :counts, due_at = :due_at, pause_s = :pause_s
WHERE id = :id AND claims = :claims AND leased_until IS NOT NULL
"""
_BURY = """
UPDATE entries SET leased_until = NULL, dead_reason = :reason, died_at = :now
WHERE id = :id AND claims = :claims AND leased_until IS NOT NULL
"""
_DEPTH = """
SELECT count(*) FILTER (WHERE dead_reason IS NULL AND leased_until IS NULL),
       count(*) FILTER (WHERE dead_reason IS NULL AND leased_until IS NULL AND crashes >= :alone_after),
       count(*) FILTER (WHERE dead_reason IS NULL AND leased_until IS NOT NULL),
       count(*) FILTER (WHERE dead_reason IS NOT NULL),
       min(accepted_at) FILTER (WHERE dead_reason IS NULL)
FROM entries WHERE queue = :queue
"""
_LETTERS = """
SELECT id, key, dead_reason, crashes, tries, accepted_at, died_at, length(payload) FROM entries
WHERE queue = :queue AND dead_reason IS NOT NULL ORDER BY id LIMIT :most
"""
_REVIVE = """
UPDATE entries SET dead_reason = NULL, died_at = NULL, crashes = 0, tries = 0, due_at = :now,
    pause_s = 0
WHERE queue = :queue AND id = :id AND dead_reason IS NOT NULL
"""
_DIGITS = 19  # of the largest number that SQLite counts to
_POLL_S = 0.2  # another process put something in, or a pause is over


class SqliteQueues:
    """`Queues` in a file. The promise holds for a power cut too, as far as the disk keeps its own."""

    def __init__(self, file: Path, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(file, _SCHEMA)
        self._limits = limits
        self._clock = clock
        self._put_here = {queue: asyncio.Event() for queue in QUEUES}

    async def open(self) -> Durability:
        try:
            await self._database.open()
        except (sqlite3.Error, OSError) as error:
            raise Away(type(error).__name__) from error
        return "durable"

    async def put(self, queue: QueueName, entries: Sequence[Entry]) -> int:
        new = await self._run(lambda connection: self._put(connection, queue, entries))
        self._put_here[queue].set()
        return new

    async def claim(self, queue: QueueName, most: int, *, alone: bool = False) -> list[Claimed]:
        most = min(most, 1) if alone else most
        return await self._run(lambda connection: self._claim(connection, queue, most, alone=alone))

    async def wait(self, queue: QueueName, at_most_s: float) -> None:
        event = self._put_here[queue]
        event.clear()
        try:
            async with asyncio.timeout(min(at_most_s, _POLL_S)):
                await event.wait()
        except TimeoutError:
            return

    async def renew(self, claimed: Sequence[Claimed]) -> None:
        until = self._clock() + self._limits.lease_s
        holds = [{"until": until, **_hold(each)} for each in claimed]
        await self._run(lambda connection: connection.executemany(_RENEW, holds))

    async def done(self, claimed: Claimed, then: Sequence[FollowUp] = ()) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM entries WHERE id = ?", (_hold(claimed)["id"],))
            for follow_up in then:
                self._put(connection, follow_up.queue, [follow_up.entry])

        await self._run(work)
        for follow_up in then:
            self._put_here[follow_up.queue].set()

    async def again(self, claimed: Claimed, after_s: float, *, counts: bool = True) -> None:
        asked = {
            "due_at": self._clock() + after_s, "pause_s": after_s, "counts": counts, **_hold(claimed)
        }  # fmt: skip
        await self._run(lambda connection: connection.execute(_AGAIN, asked))

    async def bury(self, claimed: Claimed, reason: DeadReason) -> None:
        asked = {"reason": reason, "now": self._clock(), **_hold(claimed)}
        await self._run(lambda connection: connection.execute(_BURY, asked))

    async def depth(self, queue: QueueName) -> Depth:
        asked = {"queue": queue, "alone_after": self._limits.alone_after_crashes}
        row = await self._look(lambda connection: connection.execute(_DEPTH, asked).fetchone())
        waiting, alone, claimed, dead, oldest = row
        age_s = max(0.0, self._clock() - oldest) if oldest else 0.0
        return Depth(waiting, alone, claimed, dead, age_s)

    async def dead_letters(self, queue: QueueName, most: int = 100) -> list[DeadLetter]:
        asked = {"queue": queue, "most": most}
        rows = await self._look(lambda connection: connection.execute(_LETTERS, asked).fetchall())
        return [DeadLetter(str(row[0]), *row[1:]) for row in rows]

    async def revive(self, queue: QueueName, letter_id: str) -> bool:
        asked = {"queue": queue, "id": _number(letter_id), "now": self._clock()}
        revived = await self._run(lambda c: c.execute(_REVIVE, asked).rowcount > 0)
        self._put_here[queue].set()
        return revived

    async def drop(self, queue: QueueName, letter_id: str) -> bool:
        return await self._run(
            lambda connection: (
                connection.execute(
                    "DELETE FROM entries WHERE queue = ? AND id = ? AND dead_reason IS NOT NULL",
                    (queue, _number(letter_id)),
                ).rowcount
                > 0
            )
        )

    async def remember(self, key: str, value: bytes, ttl_s: float) -> None:
        now = self._clock()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM facts WHERE until <= ?", (now,))
            connection.execute(
                "INSERT INTO facts VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET value = excluded.value, until = excluded.until",
                (key, value, now + ttl_s),
            )

        await self._run(work)

    async def recall(self, key: str) -> bytes | None:
        asked = (key, self._clock())
        row = await self._look(
            lambda connection: connection.execute(
                "SELECT value FROM facts WHERE key = ? AND until > ?", asked
            ).fetchone()
        )
        return None if row is None else row[0]

    async def aclose(self) -> None:
        await self._database.aclose()

    def _put(
        self, connection: sqlite3.Connection, queue: QueueName, entries: Sequence[Entry]
    ) -> int:
        now = self._clock()
        until = now + self._limits.dedupe_s
        connection.execute("DELETE FROM seen WHERE until <= ?", (now,))
        new = 0
        for entry in entries:
            is_new = connection.execute(
                "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (queue, entry.key, until),
            ).rowcount
            if is_new:
                connection.execute(
                    "INSERT INTO entries (queue, key, order_key, payload, accepted_at, due_at) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (queue, entry.key, entry.order, entry.payload, now, now),
                )
                new += 1
        return new

    def _claim(
        self, connection: sqlite3.Connection, queue: QueueName, most: int, *, alone: bool
    ) -> list[Claimed]:
        limits, now = self._limits, self._clock()
        asked: dict[str, Any] = {
            "queue": queue, "most": most, "alone": alone, "now": now, "lease_s": limits.lease_s,
            "alone_after": limits.alone_after_crashes, "dead_after": limits.dead_after_crashes,
        }  # fmt: skip
        if connection.execute(_RELEASE, asked).rowcount:
            connection.execute(_BURY_CRASHED, asked)
        rows = connection.execute(_LEAST_CRASHED if alone else _OLDEST, asked).fetchall()
        connection.executemany(
            "UPDATE entries SET leased_until = ?, claims = claims + 1 WHERE id = ?",
            [(now + limits.lease_s, row[0]) for row in rows],
        )
        return [
            Claimed(queue, f"{entry_id}/{claims}", Entry(key, payload, order), *rest)
            for entry_id, claims, key, payload, order, *rest in rows
        ]

    async def _look(self, work: Work[T]) -> T:
        try:
            return await self._database.look(work)
        except sqlite3.Error as error:
            raise Away(type(error).__name__) from error

    async def _run(self, work: Work[T]) -> T:
        try:
            return await self._database.run(work)
        except sqlite3.Error as error:
            raise Away(type(error).__name__) from error


def _hold(claimed: Claimed) -> dict[str, int]:
    entry_id, _, claims = claimed.id.partition("/")
    return {"id": int(entry_id), "claims": int(claims)}


def _number(letter_id: str) -> int:
    fits = letter_id.isascii() and letter_id.isdecimal() and len(letter_id) < _DIGITS
    return int(letter_id) if fits else -1
