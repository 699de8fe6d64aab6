"""One SQLite file behind two threads: writes that come together share a commit, reads wait for none."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_TOGETHER = 256
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
        self._writer = _Desk("database-writes", _commit)
        self._reader = _Desk("database-reads", _read)

    async def open(self) -> None:
        """Makes the file and its tables where they are missing. Raises sqlite3.Error or OSError."""
        self._writer.start(await asyncio.to_thread(self._connect))
        self._reader.start(await asyncio.to_thread(self._connect))

    async def run(self, work: Work[T]) -> T:
        """Raises what the work raised, or the sqlite3.Error that kept it from being committed."""
        return await self._writer.ask(work)

    async def look(self, work: Work[T]) -> T:
        """For work that only reads: it sees every write that was committed before, and waits for none."""
        return await self._reader.ask(work)

    async def aclose(self) -> None:
        """Commits what was handed in, then closes the file."""
        await self._reader.aclose()
        await self._writer.aclose()

    def _connect(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.executescript(self._schema)
        return connection


class _Desk:
    """One thread with one connection; takes what has been handed in by now and does it together."""

    def __init__(
        self, name: str, do: Callable[[sqlite3.Connection, Sequence[_Asked]], None]
    ) -> None:
        self._name = name
        self._do = do
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, connection: sqlite3.Connection) -> None:
        self._thread = threading.Thread(
            target=self._serve, args=(connection,), name=self._name, daemon=True
        )
        self._thread.start()

    async def ask(self, work: Work[T]) -> T:
        if self._thread is None:
            raise sqlite3.OperationalError("the database is not open")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._asked.put(_Asked(work, answer, loop))
        return await answer

    async def aclose(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._asked.put(None)
            await asyncio.to_thread(thread.join)

    def _serve(self, connection: sqlite3.Connection) -> None:
        with contextlib.closing(connection):
            while (first := self._asked.get()) is not None:
                together, is_last = self._more(first)
                self._do(connection, together)
                if is_last:
                    return

    def _more(self, first: _Asked) -> tuple[list[_Asked], bool]:
        """What has been handed in by now, and whether closing was asked for after it."""
        together = [first]
        with contextlib.suppress(Empty):
            while len(together) < _TOGETHER:
                asked = self._asked.get_nowait()
                if asked is None:
                    return together, True
                together.append(asked)
        return together, False


def _commit(connection: sqlite3.Connection, together: Sequence[_Asked]) -> None:
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
        _answer(asked, value, failure)


def _attempt(connection: sqlite3.Connection, work: Work[Any]) -> tuple[Any, Exception | None]:
    connection.execute("SAVEPOINT work")
    try:
        value, failure = work(connection), None
    except Exception as error:  # noqa: BLE001 -- whatever it was, it goes to whoever asked
        connection.execute("ROLLBACK TO work")
        value, failure = None, error
    connection.execute("RELEASE work")
    return value, failure


def _read(connection: sqlite3.Connection, together: Sequence[_Asked]) -> None:
    for asked in together:
        try:
            value, failure = asked.work(connection), None
        except Exception as error:  # noqa: BLE001 -- as above
            value, failure = None, error
        _answer(asked, value, failure)


def _answer(asked: _Asked, value: Any, failure: Exception | None) -> None:
    # The loop may have been closed by a process that ends: then nobody waits for the answer.
    with contextlib.suppress(RuntimeError):
        asked.loop.call_soon_threadsafe(_tell, asked.answer, value, failure)


def _tell(answer: asyncio.Future[Any], value: Any, failure: Exception | None) -> None:
    if answer.cancelled():
        return
    if failure is None:
        answer.set_result(value)
    else:
        answer.set_exception(failure)
