"""What a run adds up to, reckoned by hand."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from rich.console import Console

from classifier.api.answers import Answered, LatencyAnswer, UsageAnswer
from classifier.api.problems import Problem
from classifier.cli.job import Job
from classifier.cli.output import Output
from classifier.cli.reading import Columns, at_hand, read_rows
from classifier.cli.tally import SIMULATED, Tally
from classifier.cli.terminal import terminal
from classifier.percentiles import percentile
from classifier.records import Ticket


def answer(**changes: Any) -> Answered:
    """An exact answer of path `short` after 100 ms: 100 tokens in, 2 out, 32,400 nano-dollars."""
    values: dict[str, Any] = {
        "id": "t",
        "label": "billing",
        "confidence": 0.9,
        "path": "short",
        "model": "m",
        "source": "model",
        "usage": UsageAnswer(100, 0, 2),
        "cost_usd": "0.0000324",
        "cost_status": "exact",
        "latency_ms": LatencyAnswer(100.0, 99.0, 1.0),
        "taxonomy": "x",
        "prompt": "p",
        "simulated": False,
    }
    return Answered(**(values | changes))


def tally_of(*answers: Answered) -> Tally:
    """All of them added up."""
    tally = Tally()
    for each in answers:
        tally.add(each)
    return tally


def shown(tally: Tally, tickets_per_day: int = 50_000, width: int = 120) -> str:
    """The table as text."""
    console = Console(file=io.StringIO(), width=width)
    console.print(tally.table(tickets_per_day))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(tally: Tally, path: str, tickets_per_day: int = 50_000) -> list[str]:
    """The row that begins with this path."""
    lines = shown(tally, tickets_per_day).splitlines()
    return next(line.split() for line in lines if line.split()[:1] == [path])


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [
        (1, 50, 1), (1, 99, 1), (2, 50, 1), (2, 95, 2), (3, 50, 2), (4, 50, 2),
        (20, 95, 19), (21, 95, 20), (99, 99, 99), (100, 50, 50), (100, 95, 95), (100, 99, 99),
        (101, 99, 100), (200, 99, 198), (1_000, 99, 990),
    ],
)  # fmt: skip
def test_percentiles_are_nearest_rank(count: int, percent: float, expected: int) -> None:
    """The smallest value with so many percent at or below it: always one that was measured."""
    assert percentile(range(count, 0, -1), percent) == expected


def test_money_is_exact() -> None:
    """Three tickets for 100,000 nano-dollars: the projections round once, at the last digit shown."""
    costs = ("0.00003", "0.00003", "0.00004")
    row = cells(tally_of(*(answer(cost_usd=cost) for cost in costs)), "short", 50_000)
    assert row[2] == "3"
    assert row[-2:] == ["0.03333", "1.667"]  # 100,000 / 3 * 1,000 and * 50,000 nano-dollars


def test_projection_follows_the_volume() -> None:
    """$/day is for the tickets a day that were asked for, and says so."""
    tally = tally_of(answer())
    assert cells(tally, "short", 7)[-1] == "0.000"
    assert cells(tally, "short", 1_000_000)[-1] == "32.400"
    assert "$/day at 1,000,000 tickets a day like these" in shown(tally, 1_000_000)


def test_paths_and_sources_have_their_own_rows() -> None:
    """Cached answers are free and quick; they do not hide what the model's cost."""
    free = answer(source="cache", usage=UsageAnswer(0, 0, 0), cost_usd="0")
    slow = answer(path="long", latency_ms=LatencyAnswer(400.0, 399.0, 1.0))
    tally = tally_of(answer(), free, slow)
    assert cells(tally, "long")[1:6] == ["model", "1", "400.0", "400.0", "400.0"]
    assert cells(tally, "short")[1:3] == ["cache", "1"]
    assert cells(tally, "all")[1:] == [
        "3", "100.0", "400.0", "400.0", "200", "4", "0.02160", "1.080"
    ]  # fmt: skip


def test_unknown_costs_are_marked() -> None:
    """What an attempt of unknown cost adds is not counted as nothing: the sum says that it is missing."""
    unknown = answer(cost_usd=None, cost_status="unknown")
    partial = answer(cost_status="partial")
    tally = tally_of(answer(), unknown, partial)
    assert cells(tally, "short")[-2:] == ["0.02160+?", "1.080+?"]
    assert "+?: 2 answers hold an attempt of unknown cost, not counted" in tally.summary()


def test_upper_bounds_are_marked() -> None:
    """A cost that may be less, because nobody said what was cached, is shown as one."""
    tally = tally_of(answer(), answer(cost_status="upper_bound"))
    assert cells(tally, "short")[-2:] == ["0.03240≤", "1.620≤"]
    assert "≤: 1 answers cost at most this" in tally.summary()


def test_simulated_answers_say_so() -> None:
    """One simulated answer among real ones is enough for the title."""
    assert SIMULATED not in shown(tally_of(answer()))
    assert SIMULATED in shown(tally_of(answer(), answer(simulated=True)))


def test_nothing_answered_is_no_number() -> None:
    """Without answers there are no percentiles and no projection to be read into."""
    tally = Tally()
    for number in (1, 2):
        tally.add(Problem("t", "No path answered", 503, f"reason {number}"))
    assert cells(tally, "all")[1:] == ["0", "-", "-", "-", "0", "0", "-", "-"]
    assert tally.summary().splitlines() == [
        "0 tickets answered, 2 failed, 0 tokens in, 0 out, $0",
        "failed 2 times: No path answered; the first: reason 1",
    ]


def test_table_fits_a_plain_terminal() -> None:
    """80 columns hold the whole of a usual run's table."""
    slow = answer(path="decide", source="cache", latency_ms=LatencyAnswer(1234.5, 1.0, 1.0))
    tally = tally_of(slow, *[answer(usage=UsageAnswer(2_000, 0, 20), cost_usd="0.001")] * 500)
    wide = [word for word in shown(tally).split() if "─" not in word]
    assert [word for word in shown(tally, width=80).split() if "─" not in word] == wide


def test_names_are_printed_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    """Brackets and colons of a config are text, not markup or emoji."""
    terminal().print(tally_of(answer(path="[bold]:bank:[/x]")).table(1))
    assert "[bold]:bank:[/x]" in capfd.readouterr().out


def test_large_files_take_little_memory(tmp_path: Path) -> None:
    """100,000 rows are read, asked and written one by one: only their latencies are gathered."""
    file = tmp_path / "in.jsonl"
    line = json.dumps({"body": "charged twice " * 30}) + "\n"
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(line for _ in range(100_000))
    tally, found, resident = Tally(), answer(), []

    async def ask(ticket: Ticket) -> Answered | Problem:
        if ticket.id.endswith("0000"):
            resident.append(psutil.Process().memory_info().rss)
        return found

    async def run() -> None:
        with (
            read_rows(str(file), None, Columns({})) as rows,
            closing(Output("/dev/null", fresh=False, earlier=tally.add)) as output,
        ):
            job = Job(output, tally, asyncio.Event(), terminal(stderr=True))
            await job.run(ask, at_hand(rows), concurrency=8, total=None)

    asyncio.run(run())
    assert len(resident) == 10
    assert file.stat().st_size > 40_000_000
    assert resident[-1] - resident[0] < 8_000_000
