"""What goes wrong, for long: what `python3 dev soak` runs.

Without options: a seeded series of faults against the real service, its models and Redis, all as
processes of their own on this machine; after each the clients' answers, the models' own counts and
the service's metrics are compared.

Exit codes: 0 everything held, 1 something did not (seed and command to see it again are printed),
2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.soak import report, rounds
from tests.soak.faults import FAULTS
from tests.soak.house import Pace, standing
from tests.soak.table import Row, measured
from tests.support.cancelling import CONNECTIONS, storm
from tests.support.redis_server import RedisServer

# The claimed times of the two paths, and the timeouts that `reference` gives for them.
REAL = Pace(
    short_ms=90.0, long_ms=380.0, short_timeout_s=0.4, long_timeout_s=1.2, deadline_s=1.5,
    cache_probe_s=1.0, tickets=20, at_once=5,
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Runs what the options ask for."""
    options = _parser().parse_args(arguments)
    if options.cancels:
        return asyncio.run(_storm(options.cancels, options.seed))
    if options.table:
        return asyncio.run(_table(options.only))
    return asyncio.run(rounds.soak(options.minutes, options.seed))


def _parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="dev soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = found.add_argument
    # fmt: off
    add("--minutes", type=float, default=2.0, metavar="M", help="length of the series (2)")
    add("--seed", type=int, default=1, metavar="S", help="same seed, same faults in the same order (1)")
    add("--table", action="store_true", help="every fault once, at the claimed latencies; writes docs/faults.md")
    add("--only", metavar="WORDS", default="", help="with --table: only faults so named; nothing is written")
    add("--cancels", type=int, default=0, metavar="N", help="instead: so many look-ups in Redis given up at any moment")
    # fmt: on
    return found


async def _storm(cancels: int, seed: int) -> int:
    """Look-ups in a real Redis, cancelled on their way: no wrong value, nothing left behind."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            found = await storm(server, cancels, seed)
        finally:
            server.stop()
    sys.stdout.write(f"{found}\n")
    held = not (found.wrong or found.lost or found.tasks_left) and found.connections <= CONNECTIONS
    return int(not held)


async def _table(only: str) -> int:
    """All faults, one after another, in a house that is never restarted."""
    chosen = [fault for name, fault in FAULTS.items() if only in name]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        async with standing(Path(folder), REAL) as house:
            books = await house.books()
            for number, fault in enumerate(chosen, 1):
                row, books = await measured(house, fault, books)
                rows.append(row)
                report.say_row(row, number, len(chosen))
    bad = report.verdict(rows, "python3 dev soak --table --only '{}'")
    if not bad and not only:
        report.write(rows, REAL)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
