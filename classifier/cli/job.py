"""A run over many tickets: fed to workers, written, added up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from classifier.api.answers import Answered
from classifier.api.problems import Problem
from classifier.cli.asking import Ask
from classifier.cli.output import Failed, Output
from classifier.cli.reading import Row
from classifier.cli.tally import Tally

_BAD_ROW = "urn:classifier:problem:unprocessable"


class Job:
    """Feeds rows to workers until they end or somebody presses ctrl-c; then finishes what began."""

    def __init__(self, output: Output, stopped: asyncio.Event, console: Console) -> None:
        self.tally = Tally()
        self._output = output
        self._stopped = stopped
        self._progress = Progress(
            TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._bar = self._progress.add_task("", total=None)

    async def run(
        self, ask: Ask, rows: Iterable[Row], *, concurrency: int, total: int | None
    ) -> None:
        """`total` is how many rows there are, for the progress bar, where that is known."""
        self._progress.update(self._bar, total=total)
        expected: dict[str, str] = {}
        with self._progress:
            pending = self._pending(iter(rows), expected)
            workers = [self._work(ask, pending) for _ in range(max(1, concurrency))]
            await asyncio.gather(*workers)
        for answer in self._output.earlier:
            self.tally.add(answer, expected.get(answer.id))

    def _pending(self, rows: Iterator[Row], expected: dict[str, str]) -> Iterator[Row]:
        """Rows that no earlier run has answered; the labels of the others are kept for the count."""
        for row in rows:
            if self._stopped.is_set():
                return
            if not self._output.is_done(row.id):
                yield row
                continue
            if row.expected is not None and row.held_out:
                expected[row.id] = row.expected
            self._progress.advance(self._bar)

    async def _work(self, ask: Ask, pending: Iterator[Row]) -> None:
        for row in pending:
            await self._one(ask, row)
            self._progress.advance(self._bar)

    async def _one(self, ask: Ask, row: Row) -> None:
        found: Answered | Problem
        if row.ticket is None:
            found = Problem(_BAD_ROW, "Not a ticket", 422, row.fault)
        else:
            found = await ask(row.ticket)
        if isinstance(found, Answered):
            self._output.write(found)
            self.tally.add(found, row.expected if row.held_out else None)
        else:
            self._output.write(Failed(row.id, row.number, found))
            self.tally.failed += 1
