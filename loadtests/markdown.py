"""The report as Markdown: for a pull request, a wiki, a terminal pager."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from loadtests import wording
from loadtests.summary import Summary


def render(summary: Summary) -> str:
    parts = (_head, _claims, _limits, _paths, _money, _conditions)
    return "\n".join(line for part in parts for line in part(summary)) + "\n"


def _head(summary: Summary) -> Iterator[str]:
    run, verdict = summary.run, summary.run.verdict
    yield f"# Load test `{run.plan.scenario.name}`: {wording.headline(summary)}\n"
    yield f"{run.plan.scenario.shows}. {run.plan.meaning}\n"
    if run.simulated:
        yield f"> **Simulated models.** {wording.SIMULATED}\n"
    if verdict and verdict.reasons:
        yield from (f"- {reason}" for reason in verdict.reasons)
        yield ""


def _claims(summary: Summary) -> Iterator[str]:
    yield "## Claims\n"
    heads = ("claim", "claimed", "measured", "verdict", "why")
    rows = [[c.what, c.claimed, c.found, f"**{c.verdict}**", c.why] for c in summary.claims]
    yield from _table(heads, rows, left=(0, 3, 4))


def _limits(summary: Summary) -> Iterator[str]:
    verdict = summary.run.verdict
    yield "\n## Limits\n"
    checks = verdict.checks if verdict else ()
    yield from _table(wording.CHECK_HEADS, map(wording.check_cells, checks), left=(0, 1, 4))


def _paths(summary: Summary) -> Iterator[str]:
    yield "\n## Per path (milliseconds)\n"
    rows = [*summary.rows, summary.everything]
    yield from _table(wording.ROW_HEADS, map(wording.row_cells, rows), left=(0, 1))
    for name, stages in summary.stages.items():
        yield f"\n### Stages: {name} (milliseconds)\n"
        yield from _table(wording.STAGE_HEADS, map(wording.stage_cells, stages), left=(0, 1))


def _money(summary: Summary) -> Iterator[str]:
    if summary.prices:
        yield "\n## Cost\n"
        yield from _table(wording.PRICE_HEADS, map(wording.price_cells, summary.prices), left=(0,))
    yield "\n## A real day of 50,000 tickets\n"
    yield from (f"- {name}: {text}" for name, text in summary.projection)


def _conditions(summary: Summary) -> Iterator[str]:
    yield "\n## Conditions\n"
    yield from (f"- {name}: {text}" for name, text in wording.conditions(summary))
    yield "\n## Method\n"
    yield from (f"- {sentence}" for sentence in wording.method(summary))


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int]
) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' if place in left else '---:' for place in range(len(heads)))}|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
