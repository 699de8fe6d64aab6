"""The ledger's file: classifications come in without waiting, corrections are safe when they return.

answer ─▶ bounded queue ─▶ writer ─▶ file ─▶ export
agent's correction ──────────────▶ file
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from classifier.config.ledger import Ledger as LedgerConfig
from classifier.database import Database, T, Work
from classifier.ledger import lines
from classifier.ledger.lines import Classified, Correction
from classifier.records import Classification, Ticket

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lines (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    ticket TEXT NOT NULL,
    line BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS lines_ticket ON lines (account, ticket, number);
CREATE INDEX IF NOT EXISTS lines_at ON lines (at);
"""
_INSERT = "INSERT INTO lines (at, kind, account, ticket, line) VALUES (?, ?, ?, ?, ?)"
_LAST = """
SELECT line FROM lines WHERE account = ? AND ticket = ? AND kind = 'classification'
ORDER BY number DESC LIMIT 1
"""
_PAGE = "SELECT number, line FROM lines WHERE number > ? ORDER BY number LIMIT ?"
_TOGETHER = 500
_PRUNE_EVERY_S = 3_600.0
_FLUSH_S = 2.0  # what a correction, or the end of the process, waits for the queue
_DAY_S = 86_400.0

Row = tuple[float, str, str, str, bytes]


class LedgerAway(Exception):
    """The ledger's file cannot be written or read now."""


class LedgerObserver(Protocol):
    """Told what becomes of lines. Promise: returns at once and never raises."""

    def ledger_lines(self, kind: str, outcome: str, count: int) -> None:
        """Outcome: written, dropped (the queue is full) or failed (the file cannot be written)."""
        ...


class Ledger:
    """Promise: `classified` returns at once and never raises; what it drops is counted."""

    def __init__(
        self,
        file: Path,
        config: LedgerConfig,
        observer: LedgerObserver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # A crash of the process loses nothing that was committed; a power cut may cost the last lines.
        self._database = Database(file, _SCHEMA, synchronous="NORMAL")
        self._config = config
        self._observer = observer
        self._clock = clock
        self._waiting: asyncio.Queue[Row] = asyncio.Queue(config.waiting)
        self._tasks: list[asyncio.Task[None]] = []

    async def open_to_read(self) -> None:
        """Raises LedgerAway. Starts nothing that writes or prunes."""
        try:
            await self._database.open()
        except (sqlite3.Error, OSError) as error:
            raise LedgerAway(type(error).__name__) from error

    async def open(self) -> None:
        """Raises LedgerAway."""
        await self.open_to_read()
        self._tasks = [
            asyncio.create_task(self._write_queued()),
            asyncio.create_task(self._prune_now_and_then()),
        ]

    def classified(self, ticket: Ticket, classification: Classification, account: str = "") -> None:
        at_s = self._clock()
        line = lines.classified(
            ticket, classification, account, at_s, with_text=self._config.store_text
        )
        try:
            self._waiting.put_nowait((at_s, "classification", account, line.id, lines.encode(line)))
        except asyncio.QueueFull:
            self._observer.ledger_lines("classification", "dropped", 1)

    async def corrected(
        self, account: str, ticket_id: str, label: str, by: str | None = None
    ) -> Correction:
        """Writes the correction beside what was predicted; safe when it returns. Raises LedgerAway."""
        await self._flush()
        at_s = self._clock()

        def work(connection: sqlite3.Connection) -> Correction:
            found = connection.execute(_LAST, (account, ticket_id)).fetchone()
            predicted = None if found is None else lines.decode(found[0])
            correction = Correction(
                at=lines.rfc3339(at_s),
                account=account,
                id=ticket_id,
                label=label,
                by=by,
                predicted=lines.without_text(predicted)
                if isinstance(predicted, Classified)
                else None,
            )
            row = (at_s, "correction", account, ticket_id, lines.encode(correction))
            connection.execute(_INSERT, row)
            return correction

        correction = await self._run(work)
        self._observer.ledger_lines("correction", "written", 1)
        return correction

    async def last(self, account: str, ticket_id: str) -> Classified | None:
        """The last answer to a ticket. Raises LedgerAway."""
        await self._flush()
        asked = (account, ticket_id)
        found = await self._run(
            lambda connection: connection.execute(_LAST, asked).fetchone(), reads=True
        )
        line = None if found is None else lines.decode(found[0])
        return line if isinstance(line, Classified) else None

    async def export(self) -> AsyncIterator[bytes]:
        """Every line as JSON, the oldest first. Raises LedgerAway."""
        number = 0
        while True:
            page = await self._page(number)
            if not page:
                return
            for number, line in page:  # noqa: B007 -- the last number is where the next page starts
                yield line

    async def _page(self, after: int) -> list[tuple[int, bytes]]:
        asked = (after, _TOGETHER)
        return await self._run(
            lambda connection: connection.execute(_PAGE, asked).fetchall(), reads=True
        )

    async def prune(self) -> int:
        """Deletes what is older than `retention_days`; how many lines that were."""
        oldest = self._clock() - self._config.retention_days * _DAY_S
        return await self._run(
            lambda connection: (
                connection.execute("DELETE FROM lines WHERE at < ?", (oldest,)).rowcount
            )
        )

    async def aclose(self) -> None:
        """Writes what waits, within a moment, then closes the file."""
        await self._flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._count_lost()
        await self._database.aclose()

    async def _write_queued(self) -> None:
        while True:
            rows = [await self._waiting.get()]
            while len(rows) < _TOGETHER and not self._waiting.empty():
                rows.append(self._waiting.get_nowait())
            outcome = "written"
            try:
                await self._insert(rows)
            except LedgerAway:
                outcome = "failed"
            self._observer.ledger_lines("classification", outcome, len(rows))
            for _ in rows:
                self._waiting.task_done()

    async def _insert(self, rows: list[Row]) -> None:
        await self._run(lambda connection: connection.executemany(_INSERT, rows))

    async def _prune_now_and_then(self) -> None:
        while True:
            with contextlib.suppress(LedgerAway):
                await self.prune()
            await asyncio.sleep(_PRUNE_EVERY_S)

    async def _flush(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._waiting.join()

    def _count_lost(self) -> None:
        if lost := self._waiting.qsize():
            self._observer.ledger_lines("classification", "dropped", lost)

    async def _run(self, work: Work[T], *, reads: bool = False) -> T:
        try:
            return await (self._database.look(work) if reads else self._database.run(work))
        except sqlite3.Error as error:
            raise LedgerAway(type(error).__name__) from error
