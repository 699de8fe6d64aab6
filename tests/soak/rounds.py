"""A seeded series of faults, one or two at a time, under load that changes; the real thing, for long."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic

from tests.soak import report
from tests.soak.faults import FAULTS, SHED, Fault
from tests.soak.house import House, Pace, standing
from tests.soak.table import Row, measured
from tests.support.checker import Books

_SETTLED_ROUNDS = 10  # by then every pool and cache has its size
_MAY_GROW_BYTES = 24 * 1024 * 1024
_AT_ONCE = 12


async def soak(minutes: float, seed: int) -> int:
    """Runs until the time is over, at least one fault. Returns an exit code."""
    print(f"soak: seed {seed}, {minutes:g} minutes", flush=True)
    rows: list[Row] = []
    ends = monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        async with standing(Path(folder), Pace()) as house:
            settled = books = await house.books()
            for number, (fault, pace) in enumerate(series(seed), 1):
                house.pace = pace
                row, books = await measured(house, fault, books)
                rows.append(row)
                report.say_row(row, number, number)
                if number == _SETTLED_ROUNDS:
                    settled = books
                if monotonic() > ends:
                    break
            rows[-1] = rows[-1]._replace(
                errors=(*rows[-1].errors, *await _left(house, settled, books))
            )
    return int(report.verdict(rows, f"python3 dev soak --minutes {minutes:g} --seed {seed}"))


def series(seed: int) -> Iterator[tuple[Fault, Pace]]:
    """The faults of a seed without end, each with the load that meets it."""
    random = Random(seed)
    while True:
        order = [fault for fault in FAULTS.values() if not fault.burst]
        random.shuffle(order)
        for fault in order:
            at_once = random.randint(1, _AT_ONCE)
            pace = Pace(tickets=at_once * random.randint(1, 6), at_once=at_once)
            met = _with_redis(fault, random) if random.random() < 1 / 4 else fault
            yield met._replace(sees=met.sees | SHED), pace  # so many at once may be too many


def _with_redis(fault: Fault, random: Random) -> Fault:
    """The fault, and one of Redis' at the same time."""
    if fault.known or fault.tag or fault.where == "service":
        return fault
    other = random.choice([one for one in FAULTS.values() if one.known])

    async def begin(house: House) -> None:
        await other.begin(house)
        await fault.begin(house)

    async def end(house: House) -> None:
        await fault.end(house)
        await other.end(house)

    return fault._replace(
        name=f"{fault.name} + {other.name}", begin=begin, end=end, known=True,
        sees=fault.sees | other.sees,
    )  # fmt: skip


async def _left(house: House, settled: Books, last: Books) -> list[str]:
    """What has grown since the house had settled."""
    grown = last.resident_bytes - settled.resident_bytes
    told = f"soak: memory {settled.resident_bytes / 2**20:.0f} -> {last.resident_bytes / 2**20:.0f} MiB"
    print(f"{told}, descriptors {settled.descriptors} -> {last.descriptors}", flush=True)
    return [f"memory grew by {grown / 2**20:.0f} MiB"] if grown > _MAY_GROW_BYTES else []
