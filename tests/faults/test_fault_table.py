"""Every fault of docs/faults.md in its short form, against processes that run for real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice

import pytest
import pytest_asyncio

from tests.soak.cancel import hang_ups
from tests.soak.faults import FAULTS, Fault
from tests.soak.house import ROOT, House, Pace, standing
from tests.soak.rounds import series
from tests.soak.table import measured
from tests.support.checker import Books

PAGE = ROOT / "docs" / "faults.md"


class Standing:
    """One house for all faults, and its books when it was last quiet."""

    def __init__(self, house: House, books: Books) -> None:
        self.house = house
        self.books = books


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stands(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    """Service, models and Redis, started once: every fault must leave them as it found them."""
    async with standing(tmp_path_factory.mktemp("house"), Pace()) as house:
        yield Standing(house, await house.books())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_fault(stands: Standing, fault: Fault) -> None:
    """Honest answers in time, each ticket once, exact money, nothing left behind, and it recovers."""
    row, stands.books = await measured(stands.house, fault, stands.books)
    assert row.errors == (), row


def test_page_has_every_fault() -> None:
    """docs/faults.md was written by the suite as it is: no fault is missing or gone."""
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    named = {(row[0].removeprefix("| "), row[1]) for row in rows if len(row) == 6}
    assert named - {("fault", "how it is planted")} == {
        (f.name, f.planted) for f in FAULTS.values()
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_two_faults_at_once(stands: Standing) -> None:
    """What the long series does: a fault of the models' and one of Redis' together, and all is well after."""
    fault, stands.house.pace = next(one for one in series(1) if " + " in one[0].name)
    row, stands.books = await measured(stands.house, fault, stands.books)
    assert row.errors == (), row


@pytest.mark.asyncio(loop_scope="module")
async def test_clients_that_hang_up(stands: Standing) -> None:
    """Whoever stays gets the own answer; for those who left, money is booked and nothing remains."""
    found = await hang_ups(stands.house, 150, seed=1, say=lambda _line: None)
    stands.books = await stands.house.books()
    assert found.errors == ()
    assert (found.cancelled, found.answered) == (150, 15)


@pytest.mark.asyncio(loop_scope="module")
async def test_log_lines_stay_apart(stands: Standing) -> None:
    """After a full disk a torn line may stand in the log, but never one in front of another."""
    lines = stands.house.service.log.read_bytes().splitlines()
    assert len(lines) > 100
    assert max(line.count(b'"event":') for line in lines) == 1


def test_series_comes_again() -> None:
    """The same seed is the same series of faults and loads; another one is another."""
    first, again, other = (
        [(fault.name, pace) for fault, pace in islice(series(seed), 60)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
