"""One fault after another: what clients see, in what time, and how long until all is as before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

from tests.soak.faults import Fault
from tests.soak.house import House
from tests.support.checker import Books, Told, answer_errors, book_errors, leaks

_STILL_S = 0.03  # a loop that stood so long: the timeouts of this suite are not much longer
_VOID_RUNS = 5
_TOGETHER = 3
_RECOVERY_S = 30.0  # nothing may take longer to be as before


class Row(NamedTuple):
    """What was measured of one fault, and what must not have happened.

    `surprises`: answers that are honest, but not what clients see of this fault.
    """

    fault: Fault
    told: tuple[Told, ...]
    recovered_s: float
    lag_s: float
    errors: tuple[str, ...]
    surprises: tuple[str, ...]

    @property
    def seen(self) -> list[tuple[str, int]]:
        return Counter(one.seen for one in self.told).most_common()

    @property
    def median_ms(self) -> float:
        return median(one.took_s for one in self.told) * 1e3

    @property
    def slowest_ms(self) -> float:
        return max(one.took_s for one in self.told) * 1e3


async def measured(house: House, fault: Fault, books: Books) -> tuple[Row, Books]:
    """One fault; once more when it surprises on a machine that stood still: that says nothing."""
    for _ in range(_VOID_RUNS):
        row, books = await _measured(house, fault, books)
        if row.errors or not row.surprises or row.lag_s < _STILL_S:
            break
    return row._replace(errors=row.errors + row.surprises), books


async def _measured(house: House, fault: Fault, before: Books) -> tuple[Row, Books]:
    """Plants it, asks, takes it away, waits for the first normal answer, compares the books."""
    house.told.clear()
    await house.lags_s()
    try:
        await fault.begin(house)
        planting = len(house.told)
        await _ask_all(house, fault)
        during = tuple(house.told[planting:])
    finally:
        await fault.end(house)
    recovered_s = await _recovery_s(house, fault)
    lag_s = await house.lags_s()
    after = await house.books()
    errors = (
        *answer_errors(house.told, lag_s),
        *book_errors(before, after, house.told),
        *leaks(before, after, spare_descriptors=3 * max(house.pace.at_once, fault.burst)),
    )
    surprises = tuple(
        {f"clients may not be told {o.seen!r}" for o in during if o.seen not in fault.sees}
    )
    return Row(fault, during, recovered_s, lag_s, errors, surprises), after


async def _ask_all(house: House, fault: Fault) -> None:
    tickets = fault.burst or house.pace.tickets
    gate = asyncio.Semaphore(fault.burst or house.pace.at_once)

    async def ask(number: int) -> None:
        async with gate:
            known = 1 if fault.known and number % 2 else None
            await house.ask(fault.tag, deadline_s=fault.deadline_s, known=known)

    await asyncio.gather(*(ask(number) for number in range(tickets)))


async def _recovery_s(house: House, fault: Fault) -> float:
    """Until all is as before, in seconds.

    The path that the route names answers several tickets at once, so its breaker is closed, and
    Redis answers where it was Redis that was struck.
    """
    began = perf_counter()
    while True:
        told = await asyncio.gather(*(house.ask(fault.tag) for _ in range(_TOGETHER)))
        kept = await house.ask(known=1) if fault.known else None
        normal = {one.path for one in told} == {fault.tag or "short"}
        if normal and (kept is None or kept.source == "cache"):
            return perf_counter() - began
        assert perf_counter() - began < _RECOVERY_S, f"{fault.name}: still {told}, {kept}"
        await asyncio.sleep(0.02)


_HEAD = """\
| fault | how it is planted | what clients see | median | slowest | normal after |
|---|---|---|---|---|---|
"""


def rendered(rows: Iterable[Row]) -> str:
    """The table of docs/faults.md, a heading for each part of the house."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.fault.where, []).append(row)
    return "\n".join(
        f"## Where it strikes: {where}\n\n{_HEAD}{_lines(found)}" for where, found in parts.items()
    )


def _lines(rows: Sequence[Row]) -> str:
    return "".join(
        f"| {row.fault.name} | {row.fault.planted} | {_seen(row)} | {row.median_ms:.0f} ms "
        f"| {row.slowest_ms:.0f} ms | {duration(row.recovered_s)} |\n"
        for row in rows
    )


def _seen(row: Row) -> str:
    return ", ".join(f"{count} x {seen}" for seen, count in row.seen)


def duration(seconds: float) -> str:
    """Milliseconds below a second."""
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
