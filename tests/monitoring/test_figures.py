"""The preview's small parts: numbers as text, axis marks, variables, places."""

from __future__ import annotations

import pytest

from k8s.monitoring.drawing.charts import Line, Style, chart, heat
from k8s.monitoring.drawing.figures import clock_marks, marks, shown, stepped
from k8s.monitoring.drawing.reading import GridPos, Panel, filled, repeats


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (0.0421, "s", None, "42.1 ms"),
        (1.5, "s", None, "1.5 s"),
        (0.00002, "s", None, "20 µs"),
        (0.9, "percentunit", 0, "90 %"),
        (0.0000219, "currencyUSD", None, "$0.0000219"),
        (-2.5, "currencyUSD", 2, "-$2.50"),
        (50_000, "locale", 0, "50,000"),
        (50_000, "short", None, "50 K"),
        (300 * 2**20, "bytes", None, "300 MiB"),
        (0, "short", None, "0"),
    ],
)
def test_values_read_well(value: float, unit: str, decimals: int | None, text: str) -> None:
    """A figure in its unit, as short as it can be told."""
    assert shown(value, unit, decimals) == text


def test_axis_marks_are_round_and_reach_the_top() -> None:
    """The highest value lies below the last mark; nothing to show still makes an axis."""
    assert marks(0.43) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert marks(0.0)[-1] > 0
    assert marks(250 * 2**20, "bytes")[-1] % 2**20 == 0


def test_clock_marks_are_round() -> None:
    """Half an hour is marked every few full minutes."""
    found = clock_marks(1_000_000_010, 1_000_001_810, about=8)
    assert all(time_s % 300 == 0 for time_s, _ in found)
    assert [text for _, text in found][:2] == ["01:50", "01:55"]


def test_thresholds_colour_values() -> None:
    """The last step that the value reaches decides."""
    steps: list[dict[str, object]] = [
        {"value": None, "color": "green"},
        {"value": 2, "color": "red"},
    ]
    assert stepped(1, steps) != stepped(2, steps)


def test_variables_are_filled_longest_first() -> None:
    """`$__range_s` is not `$__range` with an s behind it."""
    values = {"__range": "60s", "__range_s": "60", "path": "short"}
    assert (
        filled("x[$__range] / $__range_s ${path} $pathway", values) == "x[60s] / 60 short $pathway"
    )


def test_a_panel_is_repeated_for_each_value() -> None:
    """One copy per path; a panel that is not repeated has one without a choice."""
    place = GridPos(h=8, w=24, x=0, y=0)
    panel = Panel(id=1, type="heatmap", title="$path", gridPos=place, repeat="path")
    assert list(repeats(panel, {"path": ["a", "b"]})) == [{"path": "a"}, {"path": "b"}]
    assert list(repeats(Panel(id=2, type="stat", title="", gridPos=place), {})) == [{}]


def test_charts_escape_names_and_bear_gaps() -> None:
    """A label cannot break the page, and a series with holes is drawn in pieces."""
    line = Line("<b>", [(0.0, 1.0), (1.0, 2.0), (9.0, 1.0), (10.0, 1.0)], dashed=True)
    drawn = chart((400, 200), (0.0, 10.0), [line], Style("s"))
    assert "&lt;b&gt;" in drawn
    assert drawn.count('class="line"') == 2
    assert "NaN" not in chart((400, 200), (0.0, 10.0), [line, line], Style("s", stacked=True))


def test_heat_takes_lower_buckets_off() -> None:
    """Cumulative counts become cells: what lies in a lower bucket is not drawn again above it."""
    buckets = [
        (0.1, [(5.0, 3.0), (6.0, 3.0)]),
        (0.2, [(5.0, 3.0), (6.0, 4.0)]),
        (float("inf"), [(5.0, 3.0), (6.0, 4.0)]),
    ]
    assert heat((400, 200), (0.0, 10.0), buckets, "s").count("<rect") == 3
    assert heat((400, 200), (0.0, 10.0), [(0.1, [(5.0, 0.0)])], "s") == ""
