"""Classify the tickets of a file.

Reads NDJSON or CSV and writes one JSON line per ticket, with the number of its row. With --output
an interrupted run goes on where it stopped: answers that are in the file are not asked for, nor
paid for, again. The table at the end shows every path: latency, tokens, dollars per 1,000 tickets
and per day.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from classifier import logs
from classifier.cli.options import add_config, count, settings_from
from classifier.cli.reading import (
    FIELDS,
    Columns,
    Row,
    at_hand,
    parse_mapping,
    read_rows,
    waited_for,
)
from classifier.errors import ConfigError
from classifier.settings import Settings

if TYPE_CHECKING:
    from classifier.cli.asking import Ask

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
        "--concurrency", type=count, default=8, metavar="N", help="tickets side by side (8)"
    )
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N rows")
    parser.add_argument(
        "--per-day",
        type=count,
        default=50_000,
        metavar="N",
        help="tickets a day to project the cost to (50,000)",
    )
    add_config(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    settings = settings_from(options, environ)
    logs.set_up("warning")
    columns = parse_mapping(options.map, options.label)
    _spare_the_input(options)
    return asyncio.run(_classify_all(options, columns, _asking(options, settings, environ)))


def _spare_the_input(options: argparse.Namespace) -> None:
    source, target = Path(options.file), Path(options.output or "-")
    if source.is_file() and target.is_file() and source.samefile(target):
        raise ConfigError(f"{target} is the input; choose another --output")


def _asking(
    options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]
) -> AbstractAsyncContextManager[Ask]:
    from classifier.cli.asking import by_service, in_process

    use_cache = not options.no_cache
    if options.service:
        return by_service(options.service, settings, options.path, use_cache=use_cache)
    return in_process(settings, environ, options.path, use_cache=use_cache)


async def _classify_all(
    options: argparse.Namespace, columns: Columns, asking: AbstractAsyncContextManager[Ask]
) -> int:
    from classifier.cli.job import Job
    from classifier.cli.output import Output
    from classifier.cli.signals import stop_on_signal
    from classifier.cli.tally import Tally
    from classifier.cli.terminal import terminal

    total = _count(options, columns)
    tally, console = Tally(), terminal(stderr=True)
    with stop_on_signal() as stopped, _rows(options, columns) as rows:
        async with asking as ask:  # nothing is written before there is somebody to ask
            with closing(Output(options.output, fresh=options.fresh, earlier=tally.add)) as output:
                job = Job(output, tally, stopped, console)
                coming = waited_for(rows, stopped) if options.file == "-" else at_hand(rows)
                await job.run(ask, coming, concurrency=options.concurrency, total=total)
        console.print(tally.table(options.per_day))
        console.print(tally.summary())
        if stopped.is_set():
            console.print(_how_to_go_on(options), style="bold yellow")
            return _INTERRUPTED
    return 1 if tally.failed else 0


def _how_to_go_on(options: argparse.Namespace) -> str:
    if options.output in (None, "-"):
        return "interrupted; with --output FILE a run can go on where it stopped"
    again = "the same command without --fresh" if options.fresh else "the same command again"
    return f"interrupted: run {again} to go on"


@contextmanager
def _rows(options: argparse.Namespace, columns: Columns) -> Iterator[Iterator[Row]]:
    with read_rows(options.file, options.format, columns) as rows:
        yield islice(rows, options.limit)


def _count(options: argparse.Namespace, columns: Columns) -> int | None:
    """How many rows there are, for the progress bar; only a file can be read twice."""
    if not sys.stderr.isatty() or not Path(options.file).is_file():
        return None
    with _rows(options, columns) as rows:
        return sum(1 for _ in rows)
