"""Every fault of docs/faults.md in its short form, against processes that run for real."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.soak.faults import FAULTS, Fault
from tests.soak.house import ROOT, House, Pace, standing
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
