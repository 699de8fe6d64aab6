"""The report's drawings as inline SVG; colours are classes of page.css, so light and dark both fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple

from loadtests.arrivals import Curve
from loadtests.summary import Bucket, Line, Share
from loadtests.verdict import number

_WIDTH, _LEFT, _RIGHT = 1040, 64, 18
_UNIT_ROOM = 12
_PERCENTS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
_STEPS = (1, 2, 5)
COLOURS = 6


class Band(NamedTuple):
    """A part of the run that is shaded: seconds from and to, its name, and whether it is trouble."""

    start_s: float
    end_s: float
    name: str
    trouble: bool


class Axis(NamedTuple):
    """Where values lie on the canvas."""

    at: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


class Claimed(NamedTuple):
    """A claimed latency: a line across the plot."""

    name: str
    ms: float


def colour(name: str, names: Sequence[str]) -> str:
    """short and long keep their colours in every drawing; others take what is left."""
    fixed = {"short": "c1", "long": "c2", "refused": "bad"}
    if name in fixed:
        return fixed[name]
    others = [one for one in names if one not in fixed]
    return f"c{3 + others.index(name) % (COLOURS - 2)}"


# ----------------------------------------------------------------------- latency by percentile


def percentile_plot(lines: Sequence[Line], claims: Iterable[Claimed] = ()) -> str:
    """Both axes logarithmic: each step to the right is ten times rarer."""
    if not lines:
        return ""
    height, top, bottom = 400, 14, 40
    claimed = list(claims)
    values = [ms for line in lines for _, ms in line.points] + [one.ms for one in claimed]
    y = _log_axis(min(values), max(values), top, height - bottom)
    x = _nines_axis(max(percent for line in lines for percent, _ in line.points))
    names = [line.name for line in lines]
    drawn = [_grid(x, y, top, height - bottom), _unit("ms", top)]
    drawn += [_claim_line(one, y) for one in claimed]
    for line in reversed(lines):  # the most frequent one lies on top
        path = " ".join(f"{x.at(percent):.1f},{y.at(ms):.1f}" for percent, ms in line.points)
        drawn.append(f'<polyline class="line {colour(line.name, names)}" points="{path}"/>')
    drawn += [_dots(line, x, y, colour(line.name, names)) for line in lines]
    return _svg(height, "Latency by percentile", drawn)


def _nines_axis(last: float) -> Axis:
    def depth(percent: float) -> float:
        return -math.log10(max(1e-6, 1 - percent / 100))

    end = max(depth(last), 1.0)
    span = _WIDTH - _LEFT - _RIGHT
    ticks = [(one, f"{one:g} %") for one in _PERCENTS if depth(one) <= end + 1e-9]
    ticks[0] = (0.0, "fastest")
    return Axis(lambda percent: _LEFT + span * min(1.0, depth(percent) / end), ticks)


def _log_axis(low: float, high: float, top: float, bottom: float) -> Axis:
    low, high = math.log10(max(low, 0.1)) - 0.04, math.log10(max(high, 0.2)) + 0.08
    marks = [step * 10.0**power for power in range(-1, 6) for step in _STEPS]

    def at(ms: float) -> float:
        part = (math.log10(max(ms, 10**low)) - low) / max(high - low, 0.1)
        return bottom - (bottom - top) * part

    # the unit stands above the axis: no figure so near to its end that they touch
    inside = [mark for mark in marks if low <= math.log10(mark) and at(mark) >= top + _UNIT_ROOM]
    return Axis(at, [(mark, f"{mark:,g}") for mark in inside])


def _claim_line(one: Claimed, y: Axis) -> str:
    at, right = y.at(one.ms), _WIDTH - _RIGHT
    kind = colour(one.name, [one.name])
    return (
        f'<line class="claim {kind}" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text class="note {kind}" x="{right}" y="{at - 5:.1f}" text-anchor="end">'
        f"{escape(one.name)}: claimed {one.ms:g} ms</text>"
    )


def _dots(line: Line, x: Axis, y: Axis, kind: str) -> str:
    """A dot at the percentiles that have a tick; its tooltip says the value."""
    dots = []
    for tick, label in x.ticks[1:]:
        near = min(line.points, key=lambda point: abs(point[0] - tick))
        if line.points[-1][0] < tick:
            continue
        dots.append(
            f'<circle class="dot {kind}" cx="{x.at(near[0]):.1f}" cy="{y.at(near[1]):.1f}" r="3.5">'
            f"<title>{escape(line.name)} {label}: {number(near[1])} ms</title></circle>"
        )
    return "".join(dots)


# ------------------------------------------------------------------------------ over the run


def timeline(
    buckets: Sequence[Bucket],
    planned: Curve,
    clock: Callable[[float], str],
    bands: Sequence[Band] = (),
) -> str:
    """Above what was sent, below how long it took, on one axis of time."""
    if not buckets:
        return ""
    height, split = 380, 150
    half = buckets[0].at_s
    span_s = buckets[-1].at_s + half
    x = _time_axis(span_s, clock)
    most = 1.1 * max(planned.peak, *(bucket.sent_per_s for bucket in buckets))
    upper = _linear_axis(most, 24, split)
    known = [bucket for bucket in buckets if not math.isnan(bucket.p50)]
    low = min((bucket.p50 for bucket in known), default=1.0)
    high = max((bucket.p95 for bucket in known), default=2.0)
    lower = _log_axis(low, high, split + 40, height - 34)
    drawn = [_band(band, x, height - 34) for band in bands]
    drawn += [_grid(x, upper, 24, split, labels=False), _unit("tickets/s", 24)]
    drawn += [_grid(x, lower, split + 40, height - 34), _unit("ms", split + 40)]
    drawn += [_bar(bucket, half, x, upper) for bucket in buckets]
    corners = [(x.at(at_s), upper.at(rate)) for at_s, rate in planned.corners]
    drawn.append(_polyline(corners, "planned"))
    drawn.append(_ribbon(known, x, lower))
    drawn.append(_polyline([(x.at(b.at_s), lower.at(b.p95)) for b in known], "c2"))
    drawn.append(_polyline([(x.at(b.at_s), lower.at(b.p50)) for b in known], "c1"))
    return _svg(height, "Tickets sent and their latency over the run", drawn)


def _time_axis(span_s: float, clock: Callable[[float], str]) -> Axis:
    parts = 8
    ticks = [(span_s * part / parts, clock(span_s * part / parts)) for part in range(parts)]
    # the end of a day reads 24:00, not 00:00
    end = clock(span_s)
    ticks.append((span_s, "24:00" if end == "00:00" else end))
    return Axis(lambda at_s: _LEFT + (_WIDTH - _LEFT - _RIGHT) * at_s / span_s, ticks)


def _linear_axis(most: float, top: float, bottom: float) -> Axis:
    step = next(
        step * 10.0**power
        for power in range(-2, 6)
        for step in _STEPS
        if most / (step * 10.0**power) <= 4  # noqa: PLR2004 -- at most four lines
    )
    ticks = [(step * count, f"{step * count:g}") for count in range(int(most / step) + 1)]
    return Axis(lambda value: bottom - (bottom - top) * value / most, ticks)


def _bar(bucket: Bucket, half_s: float, x: Axis, y: Axis) -> str:
    left, right = x.at(bucket.at_s - half_s) + 0.5, x.at(bucket.at_s + half_s) - 0.5
    good = bucket.sent_per_s - bucket.failed_per_s
    pieces = [(0.0, good, "fill c3"), (good, bucket.sent_per_s, "fill bad")]
    tip = f"{bucket.sent_per_s:.1f}/s sent, {bucket.failed_per_s:.1f}/s without a label"
    return "".join(
        f'<rect class="{kind}" x="{left:.1f}" y="{y.at(end):.1f}" width="{right - left:.1f}" '
        f'height="{y.at(start) - y.at(end):.1f}"><title>{tip}</title></rect>'
        for start, end, kind in pieces
        if end > start
    )


def _ribbon(buckets: Sequence[Bucket], x: Axis, y: Axis) -> str:
    """Between p50 and p95."""
    upper = [(x.at(bucket.at_s), y.at(bucket.p95)) for bucket in buckets]
    lower = [(x.at(bucket.at_s), y.at(bucket.p50)) for bucket in reversed(buckets)]
    points = " ".join(f"{at:.1f},{height:.1f}" for at, height in upper + lower)
    return f'<polygon class="ribbon c2" points="{points}"/>'


def _polyline(points: Iterable[tuple[float, float]], kind: str) -> str:
    joined = " ".join(f"{at:.1f},{height:.1f}" for at, height in points)
    return f'<polyline class="line {kind}" points="{joined}"/>'


def _band(band: Band, x: Axis, bottom: float) -> str:
    left, right = x.at(band.start_s), x.at(band.end_s)
    kind = "band trouble" if band.trouble else "band"
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="6" width="{right - left:.1f}" '
        f'height="{bottom - 6:.1f}"/>'
        f'<text class="note" x="{(left + right) / 2:.1f}" y="18" text-anchor="middle">'
        f"{escape(band.name)}</text>"
    )


# -------------------------------------------------------------------------- where time went


STAGES = {"late": "s1", "outside": "s2", "cache": "s3", "own work": "s4"}


def shares(rows: Sequence[Share]) -> str:
    """One bar a row: all but the model, which would dwarf it and stands behind in words."""
    if not rows:
        return ""
    label, step, top = 200, 34, 6
    height = top + step * len(rows) + 6
    most = max(row.beside for row in rows) or 1.0
    scale = (_WIDTH - label - 210) / most
    drawn = []
    for number_of_row, row in enumerate(rows):
        y = top + step * number_of_row
        drawn.append(
            f'<text class="label" x="{label - 10}" y="{y + 18}" text-anchor="end">'
            f"{escape(row.who)}</text>"
        )
        at = float(label)
        for name, ms in row.parts:
            if name == "model":
                continue
            width = ms * scale
            drawn.append(
                f'<rect class="{STAGES[name]}" x="{at:.1f}" y="{y + 4}" width="{max(0.0, width):.2f}" '
                f'height="20"><title>{escape(row.who)}: {name} {number(ms)} ms</title></rect>'
            )
            at += width
        model = f" + model {number(row.model)} ms" if row.model else ""
        drawn.append(
            f'<text class="value" x="{at + 8:.1f}" y="{y + 18}">{number(row.beside)} ms'
            f'<tspan class="beside">{model}</tspan></text>'
        )
    return _svg(height, "What comes on top of the model", drawn)


# ------------------------------------------------------------------------------- common parts


def _grid(x: Axis, y: Axis, top: float, bottom: float, *, labels: bool = True) -> str:
    right = _WIDTH - _RIGHT
    lines = [
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y.at(value):.1f}" y2="{y.at(value):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{y.at(value) + 4:.1f}" text-anchor="end">{name}</text>'
        for value, name in y.ticks
    ]
    for value, name in x.ticks:
        at = x.at(value)
        lines.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom:.1f}"/>'
        )
        if labels:
            lines.append(
                f'<text class="tick" x="{at:.1f}" y="{bottom + 20:.1f}" text-anchor="middle">'
                f"{escape(name)}</text>"
            )
    return "".join(lines)


def _unit(text: str, top: float) -> str:
    return f'<text class="unit" x="{_LEFT - 8}" y="{top - 2}" text-anchor="end">{text}</text>'


def _svg(height: float, title: str, drawn: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(drawn)}</svg>"
    )
