"""Writes a run down: report.html, report.md, result.json for machines, samples.csv of every ticket."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests import markdown, page, wording
from loadtests.run import Run
from loadtests.samples import Sample
from loadtests.summary import Summary, summarise
from loadtests.verdict import BROKEN, HOLDS, number

HTML, MARKDOWN, RESULT, SAMPLES = "report.html", "report.md", "result.json", "samples.csv"
_COLOURS = {HOLDS: "\033[1;32m", BROKEN: "\033[1;31m"}
_YELLOW, _PLAIN = "\033[1;33m", "\033[0m"


def write(run: Run, folder: Path) -> Summary:
    """All four files, into a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(run)
    (folder / HTML).write_text(page.render(summary), encoding="utf-8")
    (folder / MARKDOWN).write_text(markdown.render(summary), encoding="utf-8")
    result = json.dumps(_result(summary), indent=2, allow_nan=False)
    (folder / RESULT).write_text(result + "\n", encoding="utf-8")
    with (folder / SAMPLES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Sample._fields)
        writer.writerows(run.samples)
    return summary


def _result(summary: Summary) -> Any:
    run, verdict = summary.run, summary.run.verdict
    return _finite(
        {
            "scenario": run.plan.scenario.name,
            "verdict": wording.headline(summary),
            "exit_code": verdict.code if verdict else None,
            "reasons": list(verdict.reasons) if verdict else [],
            "simulated": run.simulated,
            "compress": run.plan.compress,
            "share": run.plan.share,
            "limits": [
                {"name": check.limit.name, "measured": check.value, "at": check.limit.at, "ok": check.ok}
                for check in (verdict.checks if verdict else ())
            ],
            "claims": [asdict(claim) for claim in summary.claims],
            "rows": [asdict(row) for row in (*summary.rows, summary.everything)],
            "prices": [{**asdict(price), "per_day": price.per_day} for price in summary.prices],
            "projection": dict(summary.projection),
            "conditions": dict(wording.conditions(summary)),
        }
    )  # fmt: skip


def _finite(value: Any) -> Any:
    """JSON has no infinity: what is not known is null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ------------------------------------------------------------------------------ the terminal


_SPOKEN = ("path", "way", "tickets", "p50", "p95", "p99", "own p99", "$/1,000")


def spoken(summary: Summary, folder: Path, *, colour: bool) -> str:
    """What stands on the terminal at the end."""
    verdict = summary.run.verdict
    code = verdict.code if verdict else -1
    begin, end = (_COLOURS.get(code, _YELLOW), _PLAIN) if colour else ("", "")
    lines = ["", *_grid([_SPOKEN, *map(_spoken_row, [*summary.rows, summary.everything])]), ""]
    lines += [
        f"  {claim.verdict:<13}  {claim.what}: {claim.found}, claimed {claim.claimed}"
        for claim in summary.claims
    ]
    if summary.run.simulated:
        lines += ["", "  simulated models: what the service adds is measured, a vendor is not"]
    lines += [
        "",
        f"{begin}load: {summary.run.plan.scenario.name}: {wording.headline(summary)}{end}",
    ]
    lines += [f"  - {reason}" for reason in (verdict.reasons if verdict else ())]
    if summary.late:
        lines.append(f"  generator late by {number(summary.late[1])} ms at p99")
    lines.append(f"  report: {folder / HTML}")
    return "\n".join(lines)


def _spoken_row(row: Any) -> tuple[str, ...]:
    cells = wording.row_cells(row)
    return (*cells[:3], *cells[3:6], cells[10], cells[13])


def _grid(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)  # noqa: PLR2004 -- two columns of words
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
