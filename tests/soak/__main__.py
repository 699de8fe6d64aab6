"""What goes wrong, for long: what `python3 dev soak` runs.

Without --table, --year, --cancel or --fuzz: a seeded series of faults against the real service, its models
and Redis, all as processes of their own on this machine; after each the clients' answers, the
models' own counts and the service's metrics are compared.

Exit codes: 0 everything held, 1 something did not (seed and command to see it again are printed),
2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter

from tests.soak import cancel, fuzzing, report, rounds, year
from tests.soak.faults import FAULTS
from tests.soak.house import Pace, standing
from tests.soak.table import Row, measured

# The claimed times of the two paths, timeouts of about four times as much, and what is shipped; only
# the pause after a wrong key or the like is 60 s there.
REAL = Pace(
    short_ms=90.0, long_ms=380.0, short_timeout_s=0.4, long_timeout_s=1.2, deadline_s=1.5,
    cache_probe_s=1.0, open_s=2.0, max_open_s=7.0, hopeless_s=10.0, retry_after_s=None,
    tickets=20, at_once=5,
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Runs what the options ask for."""
    options = _parser().parse_args(arguments)
    if options.year:
        return _year(options.seed, options.first, options.days)
    if options.fuzz:
        return fuzzing.main(options.fuzz, options.seed)
    if options.cancel:
        return asyncio.run(_cancel(options.cancel, options.seed))
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
    add("--year", action="store_true", help="days of 50,000 tickets in virtual time, under two vendors' weather")
    add("--days", type=int, default=365, metavar="N", help="with --year: so many (365)")
    add("--first", type=int, default=1, metavar="D", help="with --year: from this day on (1)")
    add("--fuzz", type=int, default=0, metavar="N", help="N requests of mutated bytes against the socket")
    add("--cancel", type=int, default=0, metavar="N",
        help="N clients that hang up, N attempts and N look-ups that are cut short")
    # fmt: on
    return found


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


def _year(seed: int, first: int, days: int) -> int:
    """Each day stands for itself, so that one that fails is seen again in seconds."""
    began, outcomes, bad = perf_counter(), Counter[str](), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        config = year.config_for_days(Path(folder))
        for number in range(first, first + days):
            day = year.lived(config, f"{seed}:{number}")
            outcomes += day.outcomes
            report.say_day(number, day)
            bad += [number] if day.errors else []
    took_s = perf_counter() - began
    print(
        f"soak: {days} days, {outcomes.total():,} tickets in {took_s:.0f} s ({took_s / days:.1f} s a day)"
    )
    print(f"soak: {dict(outcomes.most_common())}; {len(bad)} days with errors")
    for number in bad:
        print(f"soak: again: python3 dev soak --year --seed {seed} --first {number} --days 1")
    return int(bool(bad))


async def _cancel(count: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = [await cancel.cut_attempts(count, seed)]
        found.append(await cancel.cut_look_ups(Path(folder), count, seed))
        async with standing(Path(folder), Pace()) as house:
            found.append(await cancel.hang_ups(house, count, seed))
    for cut in found:
        print(
            f"soak: {cut.what}: {cut.cancelled:,} cut, {cut.answered:,} answered, {len(cut.errors)} errors"
        )
        for error in cut.errors[:10]:
            print(f"      {error}")
    bad = any(cut.errors for cut in found)
    if bad:
        print(f"soak: again: python3 dev soak --cancel {count} --seed {seed}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
