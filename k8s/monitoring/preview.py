"""Draws the dashboards from a running Prometheus as static pages: a preview, not Grafana.

  .venv/bin/python -m k8s.monitoring.preview --prometheus http://127.0.0.1:9090 --range 30m --out DIR
  …  --png            also takes a picture of each page with a headless Chromium

It runs the same queries over the same time range and lays the panels out as the JSON says.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import httpx2

from k8s.monitoring.drawing import boxes, charts
from k8s.monitoring.drawing.asking import Series, View
from k8s.monitoring.drawing.browser import opened
from k8s.monitoring.drawing.pictures import save
from k8s.monitoring.drawing.reading import Dashboard, GridPos, Panel, filled, read, repeats

FOLDER = Path(__file__).parent / "dashboards"
WIDTH = 1_600
_CELL, _GAP, _TITLE, _HEAD = 38, 8, 30, 92
_NOTE = "Preview drawn from the same queries by k8s/monitoring/preview.py; this is not Grafana."
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def page(dashboard: Dashboard, view: View) -> str:
    """The dashboard as one HTML page without any outside part."""
    values = {
        name: view.label_values(str(variable["query"]))
        for name, variable in dashboard.variables.items()
        if variable["type"] == "query"
    }
    placed = list(_placed(dashboard, values))
    drawn = "".join(_box(panel, view, place, chosen) for panel, place, chosen in placed)
    tall = max(place.y + place.h for _, place, _ in placed) * _CELL
    span = " to ".join(
        datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M")
        for t in (view.start_s, view.end_s)
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(dashboard.title)}</title>'
        f"<style>{_STYLE}</style><body data-tall={tall + _HEAD}>"
        f"<header><h1>{escape(dashboard.title)}</h1><p>{escape(dashboard.description)}</p>"
        f"<p><strong>{_NOTE}</strong> {span} UTC.</p></header>"
        f'<main style="height:{tall}px">{drawn}</main></body></html>'
    )


def height(html: str) -> int:
    """Pixels from top to bottom."""
    found = re.search(r"data-tall=(\d+)", html)
    return int(found[1]) if found else 1_000


def _placed(
    dashboard: Dashboard, values: Mapping[str, list[str]]
) -> Iterator[tuple[Panel, GridPos, dict[str, str]]]:
    """Every panel and copy with its place: copies beyond the first line move the rest down."""
    shift = 0
    for panel in dashboard.panels:
        grid = panel.gridPos
        copies = list(repeats(panel, values))
        per_line = max(1, min(len(copies), panel.maxPerRow)) if panel.repeat else 1
        wide = grid.w // per_line
        for number, chosen in enumerate(copies):
            line, column = divmod(number, per_line)
            place = GridPos(
                h=grid.h, w=wide, x=grid.x + column * wide, y=grid.y + shift + line * grid.h
            )
            yield panel, place, chosen
        shift += grid.h * ((len(copies) - 1) // per_line)


def _box(panel: Panel, view: View, place: GridPos, chosen: dict[str, str]) -> str:
    column = WIDTH / 24
    style = (
        f"left:{place.x * column + _GAP / 2:.0f}px;top:{place.y * _CELL}px;"
        f"width:{place.w * column - _GAP:.0f}px;height:{place.h * _CELL - _GAP}px"
    )
    title = escape(filled(panel.title, chosen))
    if panel.type == "row":
        return f'<h2 style="{style}">{title}</h2>'
    size = (int(place.w * column - _GAP - 18), place.h * _CELL - _GAP - _TITLE - 8)
    inside = _inside(panel, view, size, chosen)
    return f'<section style="{style}" title="{escape(panel.description)}"><h3>{title}</h3>{inside}</section>'


def _inside(panel: Panel, view: View, size: tuple[int, int], chosen: dict[str, str]) -> str:
    if panel.type == "text":
        return boxes.markdown(str(panel.options["content"]))
    answers = {target.refId: view.ask(panel, target, chosen) for target in panel.targets}
    if not any(answers.values()):
        empty = panel.fieldConfig.defaults.get("noValue", "no data")
        return f'<div class="nothing">{escape(empty)}</div>'
    return _drawn(panel, view, size, answers)


def _drawn(
    panel: Panel, view: View, size: tuple[int, int], answers: dict[str, list[Series]]
) -> str:
    if panel.type == "timeseries":
        return _chart(panel, view, size, answers)
    if panel.type == "heatmap":
        buckets = [(float(s.labels["le"]), s.points) for s in answers["A"]]
        return charts.heat(size, (view.start_s, view.end_s), buckets, panel.unit)
    if panel.type == "table":
        columns = _columns(panel)
        return boxes.listing(panel, {columns[ref]: found for ref, found in answers.items()})
    figures = [(name, series.last) for name, series in _named(panel, answers)]
    if panel.type == "bargauge":
        return boxes.ranking(panel, figures)
    return boxes.numbers(panel, figures, size)


def _chart(
    panel: Panel, view: View, size: tuple[int, int], answers: dict[str, list[Series]]
) -> str:
    custom = panel.fieldConfig.defaults.get("custom", {})
    dashed = [str(r["matcher"]["options"]).strip("/") for r in panel.fieldConfig.overrides]
    series = [
        charts.Line(name, found.points, any(re.search(pattern, name) for pattern in dashed))
        for name, found in _named(panel, answers)
    ]
    return charts.chart(
        size,
        view.times(panel),
        series,
        charts.Style(
            panel.unit,
            stacked=custom.get("stacking", {}).get("mode") == "normal",
            bar_s=view.step_s(panel) if custom.get("drawStyle") == "bars" else 0.0,
            most=panel.fieldConfig.defaults.get("max"),
        ),
    )


def _named(panel: Panel, answers: dict[str, list[Series]]) -> Iterator[tuple[str, Series]]:
    for target in panel.targets:
        for series in answers[target.refId]:
            yield _name(target.legendFormat, series.labels), series


def _name(legend: str, labels: Mapping[str, str]) -> str:
    if legend == "__auto":
        return " ".join(value for name, value in labels.items() if name != "__name__")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def _columns(panel: Panel) -> dict[str, str]:
    renamed = panel.transformations[-1]["options"]["renameByName"]
    by_ref = {old.removeprefix("Value").removeprefix(" #"): new for old, new in renamed.items()}
    return {target.refId: by_ref.get(target.refId, by_ref.get("", "")) for target in panel.targets}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    seconds = float(options.range[:-1]) * _UNITS_S[options.range[-1]]
    end_s = options.end or time.time()
    options.out.mkdir(parents=True, exist_ok=True)
    with httpx2.Client(timeout=30) as client:
        view = View(client, options.prometheus, end_s - seconds, end_s, options.scrape_interval)
        for file in sorted(FOLDER.glob("*.json")):
            target: Path = options.out.resolve() / f"{file.stem}.html"
            target.write_text(page(read(file), view), encoding="utf-8")
            print(target)
        if options.png:
            _pictures(options.out)


def _pictures(folder: Path) -> None:
    with opened() as browser:
        for html in sorted(folder.resolve().glob("*.html")):
            save(browser.page(html.as_uri(), width=WIDTH), html.with_suffix(".png"))
            print(html.with_suffix(".png"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--range", default="30m", help="length of the time range: 90s, 30m, 6h, 7d")
    parser.add_argument("--end", type=float, help="its end, in Unix seconds; now")
    parser.add_argument("--scrape-interval", type=float, default=5.0, help="seconds (5)")
    parser.add_argument("--out", type=Path, default=Path("preview"), help="folder for the pages")
    parser.add_argument("--png", action="store_true", help="take pictures, too")
    return parser


_STYLE = """
*{box-sizing:border-box}
body{margin:0;width:1600px;background:#111217;color:#ccccdc;font:13px/1.4 Inter,Helvetica,Arial,sans-serif}
header{height:92px;padding:10px 12px}
h1{margin:0;font-size:20px;font-weight:500}
header p{margin:2px 0 0;color:#9a9ba4}
header strong{color:#ffb357;font-weight:500}
main{position:relative}
h2{position:absolute;margin:0;padding-top:6px;font-size:15px;font-weight:500}
section{position:absolute;background:#181b1f;border:1px solid #2a2e34;border-radius:3px;padding:0 8px;overflow:hidden}
h3{margin:0;height:30px;line-height:30px;font-size:13px;font-weight:500;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
svg{display:block}
svg text{fill:#9a9ba4;font-size:11px}
.grid{stroke:#2a2e34;stroke-width:1}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round}
.legend{display:flex;flex-wrap:wrap;gap:0 14px;overflow:hidden;font-size:12px;line-height:18px;padding-left:4px}
.legend i{display:inline-block;width:12px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
.figures{display:flex;gap:6px;height:calc(100% - 38px)}
.figure{flex:1;min-width:0;display:flex;flex-direction:column;align-items:center;justify-content:center;border-radius:3px;white-space:nowrap;overflow:hidden}
.figure small{font-size:12px}
.figure b{font-weight:500;line-height:1.2}
.bars{display:flex;flex-direction:column;height:calc(100% - 38px)}
.bar{display:flex;align-items:center;gap:8px;flex:1;max-height:30px;min-height:0}
.bar span{width:130px;text-align:right;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.bar div{flex:1;background:#22252b;height:65%}
.bar i{display:block;height:100%}
.bar b{width:84px;font-weight:500}
table{width:100%;border-collapse:collapse;font-size:12px}
th,td{text-align:left;padding:4px 8px;border-bottom:1px solid #2a2e34;white-space:nowrap}
th{color:#8ab8ff;font-weight:500}
.words{font-size:14px;line-height:1.45;max-width:1500px}
.nothing{display:flex;height:60%;align-items:center;justify-content:center;color:#7a7b84}
"""

if __name__ == "__main__":
    main(sys.argv[1:])
