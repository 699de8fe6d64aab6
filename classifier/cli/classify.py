"""Classify the tickets of a file.

Reads NDJSON or CSV and writes one JSON line per ticket. With --output an interrupted run goes on
where it stopped: answers that are in the file are not asked for, nor paid for, again. The table at
the end shows every path: latency, tokens, dollars per 1,000 tickets and per day.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager

from classifier import logs
from classifier.cli import tally
from classifier.cli.asking import Ask, by_service, in_process
from classifier.cli.job import Job
from classifier.cli.options import add_config, settings_from
from classifier.cli.output import Output
from classifier.cli.reading import FIELDS, Columns, Row, parse_mapping, read_rows
from classifier.cli.signals import stop_on_signal

_INTERRUPTED = 130


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
    stopped = stop_on_signal()
    job = Job(output, stopped, console)
    try:
        async with asking as ask:
            rows = _rows(options, columns)
            await job.run(ask, rows, concurrency=options.concurrency, total=total)
    finally:
        output.close()
    console.print(job.tally.table(options.per_day))
    console.print(job.tally.summary(), highlight=False)
    if stopped.is_set():
        console.print("interrupted: run the same command again to go on", style="bold yellow")
        return _INTERRUPTED
    return 1 if job.tally.failed else 0


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
