"""Numbers as text, nice axis marks and colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

PALETTE = (
    "#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#37872D",
    "#FADE2A", "#447EBC", "#C15C17", "#890F02", "#9D70F9", "#6ED0E0", "#EF843C",
)  # fmt: skip
NAMED = {"green": "#56A64B", "red": "#E02F44", "orange": "#E8720C", "blue": "#3274D9"}
# dark to bright: seldom to often
_HEAT = (
    (26, 28, 60),
    (59, 15, 112),
    (140, 41, 129),
    (222, 73, 104),
    (254, 159, 109),
    (252, 253, 191),
)
_MARKS = (1, 2, 2.5, 5, 10)
_CLOCK_S = (
    5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800,
    604_800,
)  # fmt: skip


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A value in its unit, short: what Grafana would print, nearly."""
    return _UNITS.get(unit, _short)(value, decimals)


def marks(highest: float, unit: str = "", about: int = 4) -> list[float]:
    """Round numbers from 0 to the first one that is not below `highest`; at least one above 0."""
    base = 2.0**20 if unit == "bytes" else 1.0
    highest = highest if highest > 0 else base
    size = 10.0 ** math.floor(math.log10(highest / base / about))
    step = base * next(size * m for m in _MARKS if base * size * m >= highest / about * 0.999)
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)]


def heat_colour(share: float) -> str:
    """A colour for 0..1."""
    place = min(1.0, max(0.0, share)) * (len(_HEAT) - 1)
    lower = min(int(place), len(_HEAT) - 2)
    rest = place - lower
    pairs = zip(_HEAT[lower], _HEAT[lower + 1], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * rest):02x}" for a, b in pairs)


def stepped(value: float, steps: Sequence[dict[str, object]]) -> str:
    """The colour of the last threshold that the value reaches."""
    colour = "blue"
    for step in steps:
        limit = step.get("value")
        if limit is None or (isinstance(limit, (int, float)) and value >= limit):
            colour = str(step["color"])
    return NAMED.get(colour, colour)


def clock_marks(start_s: float, end_s: float, about: int) -> list[tuple[float, str]]:
    """Round times within the range, and how they are written."""
    step_s = next((s for s in _CLOCK_S if (end_s - start_s) / s <= about), _CLOCK_S[-1])
    form = "%H:%M:%S" if step_s < 60 else "%H:%M" if step_s < 86_400 else "%d %b"
    first = math.ceil(start_s / step_s)
    times = [step_s * n for n in range(first, math.floor(end_s / step_s) + 1)]
    return [(float(t), datetime.fromtimestamp(t, UTC).strftime(form)) for t in times]


def _decimals(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 7)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _short(value: float, decimals: int | None) -> str:
    for size, name in ((1e6, "Mil"), (1e3, "K")):
        if abs(value) >= size:
            return f"{_decimals(value / size, decimals)} {name}"
    return _decimals(value, decimals)


def _seconds(value: float, decimals: int | None) -> str:
    for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= size:
            return f"{_decimals(value / size, decimals)} {name}"
    return "0 s" if value == 0 else f"{value * 1e6:.1f} µs"


def _percent(value: float, decimals: int | None) -> str:
    return f"{_decimals(100 * value, decimals)} %"


def _dollars(value: float, decimals: int | None) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}${_decimals(abs(value), decimals)}"


def _bytes(value: float, decimals: int | None) -> str:
    for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(value) >= size:
            return f"{_decimals(value / size, decimals)} {name}"
    return f"{value:.0f} B"


def _ago(value: float, _: int | None) -> str:
    past_s = datetime.now(UTC).timestamp() - value / 1_000
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if past_s >= 2 * size:
            return f"{past_s / size:.0f} {name} ago"
    return f"{past_s:.0f} seconds ago"


_UNITS: dict[str, Callable[[float, int | None], str]] = {
    "s": _seconds,
    "percentunit": _percent,
    "currencyUSD": _dollars,
    "bytes": _bytes,
    "dateTimeFromNow": _ago,
    "short": _short,
    "none": _decimals,
    "locale": _decimals,
}
