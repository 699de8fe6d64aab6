"""The report as one HTML page: no script, no outside file, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from loadtests import charts, wording
from loadtests.charts import Band, Claimed
from loadtests.claims import Claim
from loadtests.summary import Summary
from loadtests.verdict import BROKEN, HOLDS, bounds, number

_CSS = Path(__file__).with_name("page.css")
_CLASSES = {"holds": "good", "broken": "broken", "does not hold": "broken"}
_CLAIMS: dict[str, str] = {"holds": "good", "does not hold": "broken", "cannot tell": "open"}
_STAGE_NAMES = {
    "late": "waited to be sent",
    "outside": "outside the service: network, kernel, HTTP",
    "cache": "cache look-up",
    "own work": "the service's own work",
}


def render(summary: Summary) -> str:
    name = summary.run.plan.scenario.name
    body = "\n".join(_body(summary))
    style = _CSS.read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Load test {escape(name)}: {wording.headline(summary)}</title>"
        f"<style>\n{style}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _body(summary: Summary) -> Iterator[str]:
    yield _header(summary)
    yield _tiles(summary)
    yield from _claims(summary.claims)
    yield from _latency(summary)
    yield from _over_time(summary)
    yield from _stages(summary)
    yield from _money(summary)
    yield from _limits(summary)
    yield from _conditions(summary)


def _header(summary: Summary) -> str:
    run, verdict = summary.run, summary.run.verdict
    kind = _CLASSES.get(wording.headline(summary), "open")
    simulated = (
        f'<p class="simulated"><b>Simulated models.</b> {escape(wording.SIMULATED)}</p>'
        if run.simulated
        else ""
    )
    reasons = "".join(
        f"<li>{escape(reason)}</li>" for reason in (verdict.reasons if verdict else ())
    )
    reasons = f'<div class="reasons {kind}"><ul>{reasons}</ul></div>' if reasons else ""
    scenario = run.plan.scenario
    date = run.conditions.get("date", "")
    return (
        f"<header><div><h1>Load test: {escape(scenario.name)}</h1>"
        f"<p>{escape(scenario.shows)} · {escape(date)}</p></div>"
        f'<span class="verdict {kind}">{_headline(summary)}</span></header>'
        f'{simulated}{reasons}<p class="lead" style="margin-top:16px">{escape(run.plan.meaning)}</p>'
    )


def _headline(summary: Summary) -> str:
    verdict = summary.run.verdict
    code = verdict.code if verdict else None
    return (
        {HOLDS: "Every limit holds", BROKEN: "A limit is broken"}.get(code or 0, "No verdict")
        if code is not None
        else "No verdict"
    )


def _tiles(summary: Summary) -> str:
    everything, run = summary.everything, summary.run
    answered = 1 - everything.failed / everything.tickets if everything.tickets else 0.0
    short = next((r for r in summary.rows if (r.path, r.way) == ("short", "model")), None)
    found = [
        (f"{everything.tickets:,}", "tickets sent"),
        (f"{answered:.2%}", "got a label"),
    ]
    if short:
        found.append((f"{number(short.latency[0])} ms", "short path, median"))
    if everything.overhead:
        found.append((f"{number(everything.overhead[1])} ms", "added by the service, p99"))
    if summary.prices:
        found.append((f"${summary.prices[0].per_day[0]:.2f}", "a day at 50,000, as routed"))
    if summary.late:
        found.append((f"{number(summary.late[1])} ms", "generator late, p99"))
    if run.workers > 1:
        found.append((str(run.workers), "Locust workers"))
    tiles = "".join(f'<div class="tile"><b>{b}</b><span>{s}</span></div>' for b, s in found)
    return f'<section class="tiles">{tiles}</section>'


def _claims(claims: Sequence[Claim]) -> Iterator[str]:
    if not claims:
        return
    yield "<h2>The claims</h2>"
    yield "<p>What is claimed, what this run measured, and whether the whole interval agrees.</p>"
    cards = "".join(
        f'<div class="claim-card"><span class="chip {_CLAIMS[claim.verdict]}">{claim.verdict}</span>'
        f'<span class="what">{escape(claim.what)}</span><b>{escape(claim.measured)}</b>'
        f"<span>claimed {escape(claim.claimed)}</span>"
        f"<small>{escape(f'95 %: {claim.between}. ' if claim.between else '')}{escape(claim.why)}</small></div>"
        for claim in claims
    )
    yield f'<section class="claims">{cards}</section>'


def _latency(summary: Summary) -> Iterator[str]:
    if not summary.lines:
        return
    names = [line.name for line in summary.lines]
    claimed = [
        Claimed(path, 1e3 * limit_s)
        for path, limit_s in summary.run.after.by("classifier_claim_seconds", "path").items()
        if path in names
    ]
    yield "<h2>Latency by percentile</h2>"
    yield "<p>From the instant that a ticket was due. Each step to the right is ten times rarer.</p>"
    yield _legend([(charts.colour(name, names), name) for name in names])
    yield f"<figure>{charts.percentile_plot(summary.lines, claimed)}</figure>"
    rows = [*map(wording.row_cells, summary.rows), wording.row_cells(summary.everything)]
    groups = (
        (3, ""),
        (4, "latency, ms"),
        (2, "in the service, ms"),
        (2, "its own part, ms"),
        (4, "a ticket"),
    )
    heads = [head.removeprefix("service ").removeprefix("overhead ") for head in wording.ROW_HEADS]
    yield _table(heads, rows, left=(0, 1), groups=groups, has_sum=True)


def _over_time(summary: Summary) -> Iterator[str]:
    run = summary.run
    bands = [
        Band(*bounds(run.plan, phase.name), phase.name, phase.gone is not None)
        for phase in run.plan.scenario.phases
    ]
    planned = run.plan.rates.times(run.plan.tickets_per_arrival)
    yield "<h2>Over the run</h2>"
    clock = "time of day" if run.plan.scenario.clock_from_s is not None else "minutes"
    yield f"<p>Tickets sent above, latency of all tickets below; the axis shows {clock} of what the run stands for.</p>"
    yield _legend(
        [("c3", "sent (line: planned)"), ("bad", "without a label"), ("c1", "p50"), ("c2", "p95")]
    )
    yield f"<figure>{charts.timeline(summary.buckets, planned, run.clock, bands)}</figure>"


def _stages(summary: Summary) -> Iterator[str]:
    if not summary.shares:
        return
    yield "<h2>What comes on top of the model</h2>"
    yield (
        "<p>The generator's clock outside, the service's own Server-Timing inside, ticket by ticket: "
        "means of the typical tickets (around the median) and of the slowest in a hundred.</p>"
    )
    yield _legend([(charts.STAGES[stage], name) for stage, name in _STAGE_NAMES.items()])
    yield f"<figure>{charts.shares(summary.shares)}</figure>"
    for name, stages in summary.stages.items():
        yield f"<details><summary>{escape(name)}: client and server, stage by stage</summary>"
        yield _table(wording.STAGE_HEADS, map(wording.stage_cells, stages), left=(0, 1))
        yield "</details>"


def _money(summary: Summary) -> Iterator[str]:
    yield "<h2>A real day of 50,000 tickets</h2>"
    yield "<p>What this run's tickets would cost at that volume, and what the day asks of the service.</p>"
    if summary.prices:
        yield _table(wording.PRICE_HEADS, map(wording.price_cells, summary.prices), left=(0,))
    yield f'<div style="margin-top:16px">{_list(summary.projection)}</div>'


def _limits(summary: Summary) -> Iterator[str]:
    verdict = summary.run.verdict
    yield "<h2>Limits</h2>"
    yield "<p>They decide the exit code: 0 all hold, 1 one is broken, 3 the run proves nothing.</p>"
    rows = []
    for check in verdict.checks if verdict else ():
        *cells, word = map(escape, wording.check_cells(check))
        kind = _CLASSES.get(word, "open")
        rows.append([*cells, f'<span class="chip {kind}">{word}</span>'])
    yield _table(wording.CHECK_HEADS, rows, left=(0, 1), escaped=True)


def _conditions(summary: Summary) -> Iterator[str]:
    yield "<h2>Conditions</h2>"
    yield "<p>What has to be known to repeat this run, or to doubt it.</p>"
    yield _list(wording.conditions(summary))
    yield "<h2>Method</h2>"
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in wording.method(summary))
    yield f"<ul>{sentences}</ul>"
    yield "<footer>ticket-classifier load test · raw figures of every ticket: samples.csv beside this page</footer>"


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    items = "".join(f'<span><i class="{kind}"></i>{escape(name)}</span>' for kind, name in entries)
    return f'<div class="legend">{items}</div>'


def _list(entries: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in entries)
    return f"<dl>{items}</dl>"


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: Sequence[int],
    *,
    groups: Sequence[tuple[int, str]] = (),
    has_sum: bool = False,
    escaped: bool = False,
) -> str:
    kinds = [' class="l"' if place in left else "" for place in range(len(heads))]
    over = "".join(
        f'<th class="group" colspan="{width}">{escape(name)}</th>'
        if name
        else f'<th colspan="{width}"></th>'
        for width, name in groups
    )
    head = "".join(
        f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, heads, strict=True)
    )
    body = []
    listed = list(rows)
    for number_of_row, row in enumerate(listed):
        last = ' class="sum"' if has_sum and number_of_row == len(listed) - 1 else ""
        cells = "".join(
            f"<td{kind}>{cell if escaped else escape(cell)}</td>"
            for kind, cell in zip(kinds, row, strict=True)
        )
        body.append(f"<tr{last}>{cells}</tr>")
    over = f"<tr>{over}</tr>" if over else ""
    return (
        f'<div class="scroll"><table><thead>{over}<tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
