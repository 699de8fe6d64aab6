"""Panels that are no charts, as HTML: figures, rankings, tables, explanations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from k8s.monitoring.drawing.asking import Series
from k8s.monitoring.drawing.figures import NAMED, PALETTE, shown, stepped
from k8s.monitoring.drawing.reading import Panel


def numbers(panel: Panel, found: Sequence[tuple[str, float]], size: tuple[int, int]) -> str:
    """One figure per series, side by side; replaced by words on colour where there are some."""
    boxes = []
    width = size[0] / max(1, len(found))
    for name, value in found:
        text, colour, solid = _worded(panel, value)
        letters = max(len(text), len(name) * 0.55)
        pixels = min(34.0, size[1] * 0.42, 1.55 * width / max(3, letters))
        look = f"background:{colour};color:#fff" if solid else f"color:{colour}"
        shade = "#fff" if solid else "#ccccdc"
        label = f'<small style="color:{shade}">{escape(name)}</small>' if name else ""
        boxes.append(
            f'<div class="figure" style="{look}">{label}'
            f'<b style="font-size:{pixels:.0f}px">{escape(text)}</b></div>'
        )
    return f'<div class="figures">{"".join(boxes)}</div>'


def ranking(panel: Panel, found: Sequence[tuple[str, float]]) -> str:
    """Horizontal bars, longest value on the whole width."""
    most = max((abs(value) for _, value in found), default=0.0) or 1.0
    rows = [
        f'<div class="bar"><span>{escape(name)}</span><div><i style="width:{100 * max(0.0, value) / most:.1f}%;'
        f'background:{PALETTE[number % len(PALETTE)]}"></i></div>'
        f"<b>{escape(shown(value, panel.unit, _decimals(panel)))}</b></div>"
        for number, (name, value) in enumerate(found)
    ]
    return f'<div class="bars">{"".join(rows)}</div>'


def listing(panel: Panel, columns: Mapping[str, Sequence[Series]]) -> str:
    """A row per set of labels, a column per query."""
    rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for column, series in columns.items():
        for one in series:
            rows.setdefault(tuple(sorted(one.labels.items())), {})[column] = one.last
    names = sorted({name for row in rows for name, _ in row} - {"__name__"})
    overrides = {
        rule["matcher"]["options"]: {p["id"]: p["value"] for p in rule["properties"]}
        for rule in panel.fieldConfig.overrides
    }
    head = "".join(f"<th>{escape(name)}</th>" for name in (*names, *columns))
    body = "".join(
        "<tr>"
        + "".join(f"<td>{escape(dict(labels).get(name, ''))}</td>" for name in names)
        + "".join(
            f"<td>{_cell(panel, row.get(column), overrides.get(column, {}))}</td>"
            for column in columns
        )
        + "</tr>"
        for labels, row in sorted(rows.items())
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(panel: Panel, value: float | None, overrides: Mapping[str, Any]) -> str:
    if value is None:
        return ""
    unit, decimals = overrides.get("unit", panel.unit), overrides.get("decimals", _decimals(panel))
    return shown(value, unit, decimals)


def markdown(text: str) -> str:
    """The little that the text panels use: bold, italic, code."""
    found = escape(text, quote=False)
    found = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", found)
    found = re.sub(r"\*(.+?)\*", r"<em>\1</em>", found)
    found = re.sub(r"`(.+?)`", r"<code>\1</code>", found)
    return f'<div class="words">{found}</div>'


def _worded(panel: Panel, value: float) -> tuple[str, str, bool]:
    """Text, colour, and whether the colour fills the box."""
    defaults = panel.fieldConfig.defaults
    for mapping in defaults.get("mappings") or []:
        word = mapping["options"].get(f"{value:g}")
        if word:
            return word["text"], NAMED.get(word["color"], word["color"]), True
    colour = stepped(value, (defaults.get("thresholds") or {}).get("steps") or [])
    return shown(value, panel.unit, _decimals(panel)), colour, False


def _decimals(panel: Panel) -> int | None:
    found = panel.fieldConfig.defaults.get("decimals")
    return None if found is None else int(found)
