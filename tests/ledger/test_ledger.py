"""The ledger: nothing waits for it, nothing is lost in silence, text only where it is wanted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from classifier.config.ledger import Ledger as LedgerConfig
from classifier.ledger import Classified, Correction, Ledger, LedgerAway
from classifier.records import NO_USAGE, Classification, Cost, Stages, Ticket
from tests.support.parts import ANSWER

TICKET = Ticket(id="t1", subject="Réfund €20", body="please refund")
CLASSIFICATION = Classification(
    "t1", ANSWER, "model", NO_USAGE, Cost(1_534_066), Stages(0.1), "default"
)


class Counting:
    """Remembers what became of lines."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()

    def ledger_lines(self, kind: str, outcome: str, count: int) -> None:
        self.seen[kind, outcome] += count


@asynccontextmanager
async def opened(
    folder: Path, counting: Counting | None = None, **config: Any
) -> AsyncIterator[Ledger]:
    """A ledger in the folder."""
    ledger = Ledger(folder / "ledger.sqlite", LedgerConfig(**config), counting or Counting())
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.aclose()


async def exported(ledger: Ledger) -> list[dict[str, Any]]:
    """All lines, as a reader of the export sees them."""
    return [msgspec.json.decode(line) async for line in ledger.export()]


def _bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_a_classification_is_kept_without_its_text(tmp_path: Path) -> None:
    """A line says what was answered, by what and for how much; never what the ticket said."""
    async with opened(tmp_path) as ledger:
        ledger.classified(TICKET, CLASSIFICATION, "desk")
        assert (last := await ledger.last("desk", "t1")) is not None
        assert await ledger.last("", "t1") is None, "accounts do not share ticket ids"
    assert (last.label, last.path, last.cost_usd, last.simulated) == (
        "billing",
        "long",
        "0.001534066",
        True,
    )
    files = await asyncio.to_thread(_bytes_in, tmp_path)
    assert b"refund" not in files
    assert "Réfund".encode() not in files


async def test_text_is_kept_on_request_and_not_repeated_in_corrections(tmp_path: Path) -> None:
    """With `store_text` a classification holds the text once; its correction points at it."""
    async with opened(tmp_path, store_text=True) as ledger:
        ledger.classified(TICKET, CLASSIFICATION)
        await ledger.corrected("", "t1", "login", by="agent 7")
        first, second = await exported(ledger)
    assert (first["subject"], first["body"]) == (TICKET.subject, TICKET.body)
    assert "subject" not in second["predicted"]


async def test_a_correction_holds_what_was_predicted_last(tmp_path: Path) -> None:
    """A correction names the label, the path, the prompt, the model and the confidence it corrects."""
    async with opened(tmp_path) as ledger:
        ledger.classified(TICKET, CLASSIFICATION)
        later = structs.replace(CLASSIFICATION, answer=structs.replace(ANSWER, label="other"))
        ledger.classified(TICKET, later)
        correction = await ledger.corrected("", "t1", "login", by="agent 7")
        assert correction.predicted is not None
        assert (correction.predicted.label, correction.predicted.prompt) == ("other", "test.txt@2")
        unknown = await ledger.corrected("", "never seen", "login")
        assert unknown.predicted is None
        lines = await exported(ledger)
    assert [line["type"] for line in lines] == ["classification"] * 2 + ["correction"] * 2


async def test_lines_survive_the_process_and_end_as_they_began(tmp_path: Path) -> None:
    """What was handed in before the end is in the file, and reads back as the same record."""
    async with opened(tmp_path) as ledger:
        for number in range(1_200):
            ledger.classified(TICKET, structs.replace(CLASSIFICATION, id=f"t{number}"))
    async with opened(tmp_path) as ledger:
        lines = [line async for line in ledger.export()]
    records = [msgspec.json.decode(line, type=Classified | Correction) for line in lines]
    assert [record.id for record in records] == [f"t{number}" for number in range(1_200)]


async def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    """An answer never waits for the ledger: what does not fit is dropped, and every drop is counted."""
    counting = Counting()
    async with opened(tmp_path, counting, waiting=10) as ledger:
        for _ in range(50):
            ledger.classified(TICKET, CLASSIFICATION)
    assert counting.seen["classification", "dropped"] == 40
    assert counting.seen["classification", "written"] == 10


async def test_a_file_that_fails_is_counted_and_comes_back(tmp_path: Path) -> None:
    """Lines that cannot be written are counted as failed, corrections say so, and later ones work."""
    counting = Counting()
    async with opened(tmp_path, counting) as ledger:
        with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
            other.execute("ALTER TABLE lines RENAME TO gone")
        ledger.classified(TICKET, CLASSIFICATION)
        with pytest.raises(LedgerAway):
            await ledger.corrected("", "t1", "login")
        with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
            other.execute("ALTER TABLE gone RENAME TO lines")
        other.close()
        await ledger.corrected("", "t1", "login")
    assert counting.seen == {("classification", "failed"): 1, ("correction", "written"): 1}


async def test_what_is_older_than_the_retention_is_deleted(tmp_path: Path) -> None:
    """Retention counts from the line's own time."""
    now = [1_800_000_000.0]
    ledger = Ledger(
        tmp_path / "ledger.sqlite",
        LedgerConfig(retention_days=2),
        Counting(),
        clock=lambda: now[0],
    )
    await ledger.open()
    try:
        ledger.classified(TICKET, CLASSIFICATION)
        await ledger.last("", "t1")
        now[0] += 86_400
        await ledger.corrected("", "t1", "login")
        now[0] += 86_401
        assert await ledger.prune() == 1
        assert [line["type"] for line in await exported(ledger)] == ["correction"]
    finally:
        await ledger.aclose()


async def test_a_ledger_that_cannot_be_opened_says_so_at_start(tmp_path: Path) -> None:
    """A folder that is none is found at start, not at the first ticket."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerAway):
        async with opened(tmp_path / "file"):
            await asyncio.sleep(0)
