"""A run over many tickets: fed to workers, written, added up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from classifier.api.answers import Answered
from classifier.api.problems import Problem
from classifier.cli.asking import Ask
from classifier.cli.output import Output
from classifier.cli.reading import Row
from classifier.cli.tally import Tally
from classifier.errors import ConfigError

_BAD_ROW = "urn:classifier:problem:unprocessable"


class Job:
    """Feeds rows to workers until they end or somebody presses ctrl-c; then finishes what began."""

    def __init__(
        self, output: Output, tally: Tally, stopped: asyncio.Event, console: Console
    ) -> None:
        self._output = output
        self._tally = tally
        self._stopped = stopped
        self._turn = asyncio.Lock()
        self._progress = Progress(
            TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._bar = self._progress.add_task("", total=None)

    async def run(
        self, ask: Ask, rows: AsyncIterator[Row], *, concurrency: int, total: int | None
    ) -> None:
        """`total` is how many rows there are, for the progress bar, where that is known.

        Raises ConfigError when the output cannot be written or belongs to another input.
        """
        self._progress.update(self._bar, total=total)
        pending = self._pending(rows)
        try:
            with self._progress:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(concurrency):
                        workers.create_task(self._work(ask, pending))
        except* ConfigError as group:
            raise group.exceptions[0] from None

    async def _pending(self, rows: AsyncIterator[Row]) -> AsyncIterator[Row]:
        """Rows that no earlier run has answered; the labels of the others are judged."""
        async for row in rows:
            label = self._output.earlier_label(row)
            if label is None:
                yield row
            else:
                self._tally.judge(label, row.expected)
                self._progress.advance(self._bar)

    async def _work(self, ask: Ask, pending: AsyncIterator[Row]) -> None:
        while (row := await self._next(pending)) is not None:
            found = await _answer(ask, row)
            self._output.write(row, found)
            self._tally.add(found, row.expected)
            self._progress.advance(self._bar)

    async def _next(self, pending: AsyncIterator[Row]) -> Row | None:
        async with self._turn:  # a generator takes one caller at a time
            return None if self._stopped.is_set() else await anext(pending, None)


async def _answer(ask: Ask, row: Row) -> Answered | Problem:
    if row.ticket is None:
        return Problem(_BAD_ROW, "Not a ticket", 422, row.fault)
    return await ask(row.ticket)
