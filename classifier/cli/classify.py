"""Classify the tickets of a file.

Reads NDJSON or CSV and writes one JSON line per ticket. With --output an interrupted run goes on
where it stopped: answers that are in the file are not asked for, nor paid for, again. The table at
the end shows every path: latency, tokens, dollars per 1,000 tickets and per day.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from classifier import logs
from classifier.api.answers import Answered
from classifier.api.problems import Problem
from classifier.cli import tally
from classifier.cli.asking import Ask, by_service, in_process
from classifier.cli.options import add_config, settings_from
from classifier.cli.output import Failed, Output
from classifier.cli.reading import FIELDS, Columns, Row, parse_mapping, read_rows

_INTERRUPTED = 130
_BAD_ROW = "urn:classifier:problem:unprocessable"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="NDJSON or CSV file, or - for standard input")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where the answers go; makes the run resumable"
    )
    parser.add_argument("--fresh", action="store_true", help="start over: replace the output file")
    parser.add_argument(
        "--format", choices=("ndjson", "csv"), help="instead of telling by the file's name"
    )
    parser.add_argument(
        "--map", action="append", default=[], metavar="FIELD=COLUMN",
        help=f"read a ticket's FIELD from COLUMN; fields: {', '.join(FIELDS)}",
    )  # fmt: skip
    parser.add_argument(
        "--label", default="label", metavar="COLUMN",
        help="column with the right label, to count how many answers are right (rows whose `split` is "
             "not `test` are left out of that count)",
    )  # fmt: skip
    parser.add_argument(
        "--service", metavar="URL", help="ask a running service instead of the models directly"
    )
    parser.add_argument("--path", metavar="NAME", help="force this path past the routes")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write the cache")
    parser.add_argument(
        "--concurrency", type=int, default=8, metavar="N", help="tickets side by side (8)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N rows")
    parser.add_argument(
        "--per-day",
        type=int,
        default=50_000,
        metavar="N",
        help="tickets a day to project the cost to (50,000)",
    )
    add_config(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    settings = settings_from(options, environ)
    logs.set_up("warning")
    columns = parse_mapping(options.map, options.label)
    use_cache = not options.no_cache
    asking: AbstractAsyncContextManager[Ask]
    if options.service:
        asking = by_service(options.service, settings, options.path, use_cache=use_cache)
    else:
        asking = in_process(settings, environ, options.path, use_cache=use_cache)
    return asyncio.run(_classify_all(options, columns, asking))


async def _classify_all(
    options: argparse.Namespace, columns: Columns, asking: AbstractAsyncContextManager[Ask]
) -> int:
    output = Output(options.output, fresh=options.fresh)
    console = tally.console(stderr=True)
    total = _count(options, columns)
    job = Job(output, options.concurrency, console, total)
    try:
        async with asking as ask:
            await job.run(ask, _rows(options, columns))
    finally:
        output.close()
    console.print(job.tally.table(options.per_day))
    console.print(job.tally.summary(), highlight=False)
    if job.interrupted:
        console.print("interrupted: run the same command again to go on", style="bold yellow")
        return _INTERRUPTED
    return 1 if job.tally.failed else 0


class Job:
    """Feeds rows to workers until they end or somebody presses ctrl-c; then finishes what began."""

    def __init__(
        self, output: Output, concurrency: int, console: Console, total: int | None
    ) -> None:
        self.tally = tally.Tally()
        self.interrupted = False
        self._output = output
        self._concurrency = max(1, concurrency)
        self._progress = Progress(
            TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._bar = self._progress.add_task("", total=total)

    async def run(self, ask: Ask, rows: Iterator[Row]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._interrupt)
        expected: dict[str, str] = {}
        with self._progress:
            pending = self._pending(rows, expected)
            workers = [self._work(ask, pending) for _ in range(self._concurrency)]
            await asyncio.gather(*workers)
        for answer in self._output.earlier:
            self.tally.add(answer, expected.get(answer.id))

    def _pending(self, rows: Iterator[Row], expected: dict[str, str]) -> Iterator[Row]:
        """Rows that no earlier run has answered; the labels of the others are kept for the count."""
        for row in rows:
            if self.interrupted:
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

    def _interrupt(self) -> None:
        self.interrupted = True


def _rows(options: argparse.Namespace, columns: Columns) -> Iterator[Row]:
    for row in read_rows(options.file, options.format, columns):
        if options.limit is not None and row.number > options.limit:
            return
        yield row


def _count(options: argparse.Namespace, columns: Columns) -> int | None:
    """How many rows there are, for the progress bar; standard input cannot be read twice."""
    if options.file == "-" or not sys.stderr.isatty():
        return None
    return sum(1 for _ in _rows(options, columns))
