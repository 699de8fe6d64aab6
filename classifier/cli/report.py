"""What `verify` tells: one record, as JSON or as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from classifier.cli.findings import Finding, Limits, Seen, Trial, cost_usd, findings
from classifier.cli.tally import SIMULATED
from classifier.cli.terminal import terminal
from classifier.paths.path import Path
from classifier.percentiles import percentile
from classifier.records import REPLIED

if TYPE_CHECKING:
    from rich.table import Table

    from classifier.assembly import Assembly


class Family(Struct, frozen=True):
    """Injections of one kind: how many, and what came of them. `silent`: no label at all."""

    family: str
    cases: int
    steered: int
    moved: int
    silent: int
    unanswered: int


class PathReport(Struct, frozen=True):
    path: str
    kind: str
    endpoint: str
    model: str
    prompt: str
    simulated: bool
    passed: bool
    calls: int
    cost_usd: str
    unknown_costs: int
    p50_ms: float | None
    p95_ms: float | None
    findings: tuple[Finding, ...]
    injections: tuple[Family, ...]
    steered_cases: tuple[str, ...]


class Report(Struct, frozen=True):
    """The whole run. `simulated`: at least one answer came from a simulated model."""

    passed: bool
    simulated: bool
    config: str
    taxonomy: str
    cost_usd: str
    paths: tuple[PathReport, ...]


def report(assembly: Assembly, seen: Mapping[str, Seen], limits: Limits) -> Report:
    paths = tuple(_path(assembly.paths[name], found, limits) for name, found in seen.items())
    every = [attempt for found in seen.values() for attempt in found.attempts]
    return Report(
        passed=all(path.passed for path in paths),
        simulated=any(path.simulated for path in paths),
        config=assembly.version,
        taxonomy=assembly.taxonomy_version,
        cost_usd=cost_usd(every)[0],
        paths=paths,
    )


def as_json(found: Report) -> str:
    return msgspec.json.encode(found).decode()


def show(found: Report) -> None:
    console = terminal()
    if found.simulated:
        console.print(SIMULATED, style="bold yellow")
    for path in found.paths:
        console.print(_findings_table(path))
    if any(path.injections for path in found.paths):
        console.print(_families_table(found.paths))
    console.print(f"paid: ${found.cost_usd}{_unknown(found.paths)}")
    failed = [path.path for path in found.paths if not path.passed]
    console.print(f"failed: {', '.join(failed)}" if failed else "every path passed")


def _path(path: Path, seen: Seen, limits: Limits) -> PathReport:
    told = findings(path, seen, limits)
    paid, unknown = cost_usd(seen.attempts)
    times_ms = [1_000 * a.duration_s for a in seen.answers if a.outcome in REPLIED]
    return PathReport(
        path=path.name,
        kind=path.config.kind,
        endpoint=path.config.endpoint,
        model=path.config.model,
        prompt=path.prompt.version,
        simulated=any(attempt.simulated for attempt in seen.attempts),
        passed=all(finding.verdict != "failed" for finding in told),
        calls=len(seen.attempts),
        cost_usd=paid,
        unknown_costs=unknown,
        p50_ms=round(percentile(times_ms, 50), 1) if times_ms else None,
        p95_ms=round(percentile(times_ms, 95), 1) if times_ms else None,
        findings=tuple(told),
        injections=_families(seen.trials),
        steered_cases=tuple(trial.case.id for trial in seen.trials if trial.steered),
    )


def _families(trials: Sequence[Trial]) -> tuple[Family, ...]:
    names = dict.fromkeys(trial.case.family for trial in trials)
    return tuple(_family(name, [t for t in trials if t.case.family == name]) for name in names)


def _family(name: str, trials: Sequence[Trial]) -> Family:
    return Family(
        family=name,
        cases=len(trials),
        steered=sum(trial.steered for trial in trials),
        moved=sum(trial.moved for trial in trials),
        silent=sum(trial.answered and trial.attempt.label is None for trial in trials),
        unanswered=sum(not trial.answered for trial in trials),
    )


def _findings_table(path: PathReport) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=f"{path.path}: {path.kind}, {path.model} at {path.endpoint}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in ("check", "", "what was seen"):
        table.add_column(heading, overflow="fold")
    for finding in path.findings:
        style = {"failed": "bold red", "note": "yellow"}.get(finding.verdict)
        table.add_row(finding.check, finding.verdict, finding.detail, style=style)
    return table


def _families_table(paths: Sequence[PathReport]) -> Table:
    """A row a family, a column a path: how many of its cases got the label that they ordered."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title="injections that got the label they ordered",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    tried = [path for path in paths if path.injections]
    table.add_column("family")
    table.add_column("cases", justify="right")
    for path in tried:
        table.add_column(path.path, justify="right")
    for rows in zip(*(path.injections for path in tried), strict=True):
        table.add_row(rows[0].family, str(rows[0].cases), *(str(row.steered) for row in rows))
    return table


def _unknown(paths: Sequence[PathReport]) -> str:
    unknown = sum(path.unknown_costs for path in paths)
    return f" and {unknown} calls of unknown cost" if unknown else ""
