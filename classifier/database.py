"""One SQLite file behind one thread: what is handed in during a commit shares the next one."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_COMMIT_TOGETHER = 256
_BUSY_S = 5.0  # how long to wait for another process's commit


class _Asked(NamedTuple):
    work: Work[Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Database:
    """Promise: `run` returns when what its work wrote is committed; several share one fsync.

    `synchronous`: FULL survives a power cut with every commit; NORMAL may lose the last ones then,
    but not by a crash of the process (sqlite.org/pragma.html#pragma_synchronous).
    """

    def __init__(
        self, file: Path, schema: str, synchronous: Literal["FULL", "NORMAL"] = "FULL"
    ) -> None:
        self._file = file
        self._schema = schema
        self._synchronous = synchronous
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def open(self) -> None:
        """Makes the file and its tables where they are missing. Raises sqlite3.Error or OSError."""
        connection = await asyncio.to_thread(self._connect)
        self._thread = threading.Thread(
            target=self._serve, args=(connection,), name="database", daemon=True
        )
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """Raises what the work raised, or the sqlite3.Error that kept it from being committed."""
        if self._thread is None:
            raise sqlite3.OperationalError("the database is not open")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._asked.put(_Asked(work, answer, loop))
        return await answer

    async def aclose(self) -> None:
        """Commits what was handed in, then closes the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._asked.put(None)
            await asyncio.to_thread(thread.join)

    def _connect(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.executescript(self._schema)
        return connection

    def _serve(self, connection: sqlite3.Connection) -> None:
        with contextlib.closing(connection):
            while (first := self._asked.get()) is not None:
                together, is_last = self._more(first)
                _commit(connection, together)
                if is_last:
                    return

    def _more(self, first: _Asked) -> tuple[list[_Asked], bool]:
        """What has been handed in by now, and whether closing was asked for after it."""
        together = [first]
        with contextlib.suppress(Empty):
            while len(together) < _COMMIT_TOGETHER:
                asked = self._asked.get_nowait()
                if asked is None:
                    return together, True
                together.append(asked)
        return together, False


def _commit(connection: sqlite3.Connection, together: list[_Asked]) -> None:
    """One transaction for all; work that fails is undone alone, a failed commit fails all."""
    results: list[tuple[_Asked, Any, Exception | None]]
    try:
        connection.execute("BEGIN IMMEDIATE")
        results = [(asked, *_attempt(connection, asked.work)) for asked in together]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        results = [(asked, None, error) for asked in together]
    for asked, value, failure in results:
        # The loop may have been closed by a process that ends: then nobody waits for the answer.
        with contextlib.suppress(RuntimeError):
            asked.loop.call_soon_threadsafe(_tell, asked.answer, value, failure)


def _attempt(connection: sqlite3.Connection, work: Work[Any]) -> tuple[Any, Exception | None]:
    connection.execute("SAVEPOINT work")
    try:
        value, failure = work(connection), None
    except Exception as error:  # noqa: BLE001 -- whatever it was, it goes to whoever asked
        connection.execute("ROLLBACK TO work")
        value, failure = None, error
    connection.execute("RELEASE work")
    return value, failure


def _tell(answer: asyncio.Future[Any], value: Any, failure: Exception | None) -> None:
    if answer.cancelled():
        return
    if failure is None:
        answer.set_result(value)
    else:
        answer.set_exception(failure)
