"""What a run says while it goes on and at its end, and the page that a whole table becomes."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from tests.soak.house import ROOT, Pace
from tests.soak.table import Row, duration, rendered
from tests.soak.year import Day
from tests.support.redis_server import server_binary

_PAGE = ROOT / "docs" / "faults.md"
_TEMPLATE = Path(__file__).with_name("page.md")


def say_row(row: Row, number: int, total: int) -> None:
    """One line, and the first of what did not hold."""
    seen = ", ".join(f"{count} x {seen}" for seen, count in row.seen)
    mark = "FAIL" if row.errors else "ok  "
    print(
        f"{mark} {number:>3}/{total} {row.fault.name:<32} {row.median_ms:>6.0f} ms "
        f"{row.slowest_ms:>6.0f} ms  normal after {duration(row.recovered_s):>7}  {seen}",
        flush=True,
    )
    for error in row.errors[:10]:
        print(f"          {error}", flush=True)


def say_day(number: int, day: Day) -> None:
    """One line, and the first of what did not hold."""
    asked = sum(day.attempts.values())
    retried = sum(n for (_, reason), n in day.attempts.items() if reason == "retry")
    hedged = sum(n for (_, reason), n in day.attempts.items() if reason == "hedge")
    print(
        f"{'FAIL' if day.errors else 'ok  '} day {number:>3}  {day.tickets:,} tickets, {asked:,} calls, "
        f"{retried} retries, {hedged} hedges, {day.episodes} episodes, opened {day.opened} times, "
        f"{day.digest}",
        flush=True,
    )
    for error in day.errors[:10]:
        print(f"      {error}", flush=True)


def verdict(rows: Sequence[Row], again: str) -> bool:
    """Says how it went; true when something did not hold."""
    bad = [row for row in rows if row.errors]
    tickets = sum(len(row.told) for row in rows)
    print(
        f"soak: {len(rows)} faults, {tickets:,} tickets during them, {len(bad)} faults with errors"
    )
    for row in bad:
        print(f"soak: again: {again.format(row.fault.name)}")
    return bool(bad)


def write(rows: Sequence[Row], pace: Pace) -> None:
    """Writes docs/faults.md: page.md with what was measured."""
    conditions = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "redis": _redis(),
        "lag_ms": f"{max(row.lag_s for row in rows) * 1e3:.0f}",
        **{name: f"{value:g}" for name, value in pace._asdict().items() if value is not None},
    }
    page = Template(_TEMPLATE.read_text(encoding="utf-8"))
    _PAGE.write_text(page.substitute(conditions, tables=rendered(rows)), encoding="utf-8")
    print(f"soak: wrote {_PAGE.relative_to(ROOT)}")


def _redis() -> str:
    words = subprocess.run(
        (server_binary(), "--version"), capture_output=True, text=True, check=True
    ).stdout.split()
    return f"{words[0]} {words[2].removeprefix('v=')}"
