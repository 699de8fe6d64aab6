"""Series as SVG: lines, stacked areas, bars, heat maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from msgspec import Struct

from k8s.monitoring.drawing.figures import PALETTE, clock_marks, heat_colour, marks, shown

_LEFT, _TOP, _BOTTOM, _RIGHT = 62, 8, 22, 10
_LEGEND_LINE = 18
_LETTER = 6.4  # px of an average letter at 12 px


class Line(Struct, frozen=True):
    """A named series, ready to be drawn. `dashed`: a claim or a limit."""

    name: str
    points: list[tuple[float, float]]
    dashed: bool = False


class Canvas:
    """A plot with axes: turns times and values into pixels."""

    def __init__(
        self, size: tuple[int, int], times: tuple[float, float], values: tuple[float, float]
    ) -> None:
        self.width, self.height = size
        self.times, self.values = times, values
        self.parts: list[str] = []

    def x(self, time_s: float) -> float:
        start, end = self.times
        return _LEFT + (time_s - start) / (end - start) * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.values
        return self.height - _BOTTOM - (value - low) / (high - low) * (self.height - _TOP - _BOTTOM)

    def add(self, text: str) -> None:
        self.parts.append(text)

    def time_axis(self) -> None:
        for time_s, label in clock_marks(*self.times, about=max(3, (self.width - _LEFT) // 80)):
            place = min(self.x(time_s), self.width - 20.0)
            self.add(_text(place, self.height - 6, label, "middle"))

    def mark(self, value: float, label: str) -> None:
        y = self.y(value)
        self.add(f'<path class="grid" d="M{_LEFT} {y:.1f}H{self.width - _RIGHT}"/>')
        self.add(_text(_LEFT - 6, y + 4, label, "end"))

    def svg(self) -> str:
        body = "".join(self.parts)
        return f'<svg width="{self.width}" height="{self.height}" role="img">{body}</svg>'


class Style(Struct, frozen=True):
    """Lines, or `stacked` areas, or bars of `bar_s` seconds; `most`: where the axis ends at last."""

    unit: str
    stacked: bool = False
    bar_s: float = 0.0
    most: float | None = None


def chart(
    size: tuple[int, int], times: tuple[float, float], series: Sequence[Line], style: Style
) -> str:
    """Series over time with their names below."""
    stacked, bar_s, most = style.stacked, style.bar_s, style.most
    legend, legend_height = _legend(size[0], series)
    tops = _tops(series) if stacked else [dict(line.points) for line in series]
    highest = max((v for top in tops for v in top.values() if not math.isnan(v)), default=1.0)
    ticks = marks(min(highest, most) if most else highest, style.unit)
    if bar_s:
        times = (times[0] - bar_s / 2, max(times[1], *(t for top in tops for t in top)) + bar_s / 2)
    canvas = Canvas((size[0], size[1] - legend_height), times, (0.0, ticks[-1]))
    for value in ticks:
        canvas.mark(value, shown(value, style.unit))
    canvas.time_axis()
    floor: dict[float, float] = {}
    for number, (line, top) in enumerate(zip(series, tops, strict=True)):
        colour = PALETTE[number % len(PALETTE)]
        if bar_s:
            _bars(canvas, floor, top, colour, bar_s)
        elif stacked:
            _area(canvas, floor, top, colour)
        else:
            _stroke(canvas, top, colour, dashed=line.dashed)
        floor = floor | top if stacked else floor
    return canvas.svg() + legend


def heat(
    size: tuple[int, int],
    times: tuple[float, float],
    buckets: Sequence[tuple[float, list[tuple[float, float]]]],
    unit: str,
) -> str:
    """Cumulative buckets (upper bound, points) as cells: the brighter the more."""
    rows = _cells(buckets)
    busy = [n for n, (_, cells) in enumerate(rows) if any(cells.values())]
    if not busy:
        return ""
    rows = rows[max(0, busy[0] - 1) : busy[-1] + 2]
    most = max(value for _, cells in rows for value in cells.values())
    canvas = Canvas(size, times, (0.0, float(len(rows))))
    moments = sorted({time_s for _, cells in rows for time_s in cells})
    wide = canvas.x(moments[1]) - canvas.x(moments[0]) if len(moments) > 1 else 8.0
    tall = canvas.y(0) - canvas.y(1)
    for number, (_, cells) in enumerate(rows):
        for time_s, value in cells.items():
            if value > 0 and canvas.x(time_s) - wide >= _LEFT - 1:
                canvas.add(
                    f'<rect x="{canvas.x(time_s) - wide:.1f}" y="{canvas.y(number + 1):.1f}" '
                    f'width="{wide + 0.5:.1f}" height="{tall + 0.5:.1f}" '
                    f'fill="{heat_colour(math.sqrt(value / most))}"/>'
                )
    every = max(1, math.ceil(len(rows) / 8))
    for number in range(0, len(rows), every):
        canvas.mark(
            number + 1, shown(rows[number][0], unit) if rows[number][0] < math.inf else "more"
        )
    canvas.time_axis()
    return canvas.svg()


def _cells(
    buckets: Sequence[tuple[float, list[tuple[float, float]]]],
) -> list[tuple[float, dict[float, float]]]:
    """Each bucket without those below it."""
    below: dict[float, float] = {}
    rows = []
    for bound, points in sorted(buckets):
        reached = dict(points)
        rows.append((bound, {t: max(0.0, v - below.get(t, 0.0)) for t, v in reached.items()}))
        below = reached
    return rows


def _tops(series: Sequence[Line]) -> list[dict[float, float]]:
    """Upper edges of stacked series; a series without a value at some time adds nothing there."""
    moments = sorted({time_s for line in series for time_s, _ in line.points})
    reached = dict.fromkeys(moments, 0.0)
    tops = []
    for line in series:
        own = {t: v for t, v in line.points if not math.isnan(v)}
        reached = {time_s: reached[time_s] + own.get(time_s, 0.0) for time_s in moments}
        tops.append(reached)
    return tops


def _area(canvas: Canvas, floor: dict[float, float], top: dict[float, float], colour: str) -> None:
    if not top:
        return
    there = [f"{canvas.x(t):.1f} {canvas.y(v):.1f}" for t, v in top.items()]
    back = [f"{canvas.x(t):.1f} {canvas.y(floor.get(t, 0.0)):.1f}" for t in reversed(top)]
    canvas.add(f'<path d="M{"L".join(there + back)}Z" fill="{colour}" opacity="0.75"/>')


def _bars(
    canvas: Canvas, floor: dict[float, float], top: dict[float, float], colour: str, bar_s: float
) -> None:
    wide = min(70.0, 0.8 * (canvas.x(bar_s) - canvas.x(0.0)))
    for time_s, value in top.items():
        y, base = canvas.y(value), canvas.y(floor.get(time_s, 0.0))
        canvas.add(
            f'<rect x="{canvas.x(time_s) - wide / 2:.1f}" y="{y:.1f}" width="{wide:.1f}" '
            f'height="{max(0.0, base - y):.1f}" fill="{colour}"/>'
        )


def _stroke(canvas: Canvas, points: dict[float, float], colour: str, *, dashed: bool) -> None:
    dash = ' stroke-dasharray="7 6"' if dashed else ""
    for run in _runs(points):
        path = "L".join(f"{canvas.x(t):.1f} {canvas.y(v):.1f}" for t, v in run)
        if len(run) == 1:
            path += "l2 0"
        canvas.add(f'<path class="line" d="M{path}" stroke="{colour}"{dash}/>')


def _runs(points: dict[float, float]) -> list[list[tuple[float, float]]]:
    """Pieces without a gap: Prometheus leaves out what it has not."""
    pairs = [(t, v) for t, v in points.items() if not math.isnan(v)]
    steps = [later[0] - earlier[0] for earlier, later in pairwise(pairs)]
    usual = min(steps, default=0.0)
    runs: list[list[tuple[float, float]]] = []
    for number, pair in enumerate(pairs):
        if number == 0 or steps[number - 1] > 3 * usual:
            runs.append([])
        runs[-1].append(pair)
    return runs


def _legend(width: int, series: Sequence[Line]) -> tuple[str, int]:
    """Names in at most two lines; what does not fit is counted."""
    room, used, shown_ = 2.0 * (width - 20), 0.0, []
    for number, line in enumerate(series):
        used += len(line.name) * _LETTER + 34
        if used > room:
            shown_.append(f"<span>and {len(series) - number} more</span>")
            break
        colour = PALETTE[number % len(PALETTE)]
        shown_.append(f'<span><i style="background:{colour}"></i>{escape(line.name)}</span>')
    tall = _LEGEND_LINE * (2 if used > room / 2 else 1) + 4
    return f'<div class="legend" style="height:{tall}px">{"".join(shown_)}</div>', tall


def _text(x: float, y: float, label: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
