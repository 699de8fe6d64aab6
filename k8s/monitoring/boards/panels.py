"""What the dashboards are made of: queries with the dashboard's filters, and a few panel kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, table, text, timeseries
from grafana_foundation_sdk.builders import dashboard as dash
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat_model
from grafana_foundation_sdk.models import text as text_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = looks.DataSourceRef(type_val="prometheus", uid="${datasource}")
Panel = Builder[model.Panel]
_Charted = TypeVar(
    "_Charted", stat.Panel, timeseries.Panel, heatmap.Panel, bargauge.Panel, table.Panel
)
GOOD, BAD, WARN, CALM = "green", "red", "orange", "blue"


# ---------------------------------------------------------------------------------- queries


def promql(short: str) -> str:
    """`{@}` and `{@, path="x"}` filter by the dashboard's job and instance, `{#}` by job alone.

    Recorded series know no instance: they stand for all replicas of a job.
    """
    filtered = short.replace("{@", '{job=~"$job", instance=~"$instance"')
    return filtered.replace("{#", '{job=~"$job"').strip()


def ask(short: str, legend: str = "") -> Dataquery:
    """A query over the dashboard's time range."""
    return Dataquery().expr(promql(short)).legend_format(legend or "__auto").range()


def ask_once(short: str, legend: str = "") -> Dataquery:
    """A query for the end of the time range only."""
    return Dataquery().expr(promql(short)).legend_format(legend or "__auto").instant()


def quantile(q: float, histogram: str, by: str = "path", where: str = "") -> str:
    """A quantile over time; a path without traffic has a gap, not NaN."""
    return (
        f"histogram_quantile({q}, sum by ({by}, le) "
        f"(rate({histogram}_bucket{{@{where}}}[$__rate_interval]))) >= 0"
    )


def quantile_of_range(q: float, histogram: str, by: str = "path", where: str = "") -> str:
    """A quantile of everything within the dashboard's time range."""
    return (
        f"histogram_quantile({q}, sum by ({by}, le) "
        f"(increase({histogram}_bucket{{@{where}}}[$__range]))) >= 0"
    )


# -------------------------------------------------------------------------------- the kinds


def number(
    title: str,
    meaning: str,
    unit: str,
    *queries: Dataquery,
    steps: Sequence[tuple[float | None, str]] = ((None, CALM),),
    words: Mapping[str, tuple[str, str]] | None = None,
    decimals: int | None = None,
) -> stat.Panel:
    """One figure per series. `words` replace values: text and colour."""
    panel = _dressed(stat.Panel(), title, meaning, unit, queries).span(4).height(4)
    panel.thresholds(_steps(steps)).no_value("no data")
    panel.color_mode(looks.BigValueColorMode.BACKGROUND_SOLID if words else _VALUE)
    panel.graph_mode(looks.BigValueGraphMode.NONE)
    named = any("{{" in (query.build().legend_format or "") for query in queries)
    panel.text_mode(looks.BigValueTextMode.VALUE_AND_NAME if named else looks.BigValueTextMode.AUTO)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if words:
        panel.mappings([_words(words)])
    if decimals is not None:
        panel.decimals(decimals)
    return panel


_VALUE = looks.BigValueColorMode.VALUE


def lines(
    title: str,
    meaning: str,
    unit: str,
    *queries: Dataquery,
    stacked: bool = False,
    dashed: str = "",
    most: float | None = None,
) -> timeseries.Panel:
    """Series over time. `dashed`: a pattern of names that are claims or limits, not measured."""
    panel = _dressed(timeseries.Panel(), title, meaning, unit, queries).span(12).height(8)
    panel.no_value("none in this time range").min(0)
    panel.line_width(2 if not stacked else 1).fill_opacity(60 if stacked else 5)
    panel.show_points(looks.VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(looks.LegendDisplayMode.LIST)
        .placement(looks.LegendPlacement.BOTTOM)
    )
    panel.tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI))
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if most is not None:
        panel.max(most)
    if dashed:
        panel.override_by_regexp(dashed, _DASHED)
    return panel


_DASHED = [
    model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
    model.DynamicConfigValue("custom.fillOpacity", 0),
]


def bars(title: str, meaning: str, unit: str, *queries: Dataquery, days: int) -> timeseries.Panel:
    """Stacked bars, one for each of the last days, whatever the dashboard's time range."""
    panel = lines(title, meaning, unit, *queries, stacked=True)
    panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80)
    return panel.interval("1d").time_from(f"{days}d")


def heat(title: str, meaning: str, unit: str, histogram: str, where: str = "") -> heatmap.Panel:
    """Where observations lie over time, one panel for each path."""
    selector = f'{histogram}_bucket{{@, path="$path"{where}}}'
    query = ask(f"sum by (le) (increase({selector}[$__rate_interval]))", "{{le}}")
    query.format(PromQueryFormat.HEATMAP)
    panel = _dressed(heatmap.Panel(), title, meaning, unit, [query]).span(24).height(8)
    panel.repeat("path").repeat_direction("h").max_per_row(2)
    panel.calculate(False).cell_gap(0).hide_legend()
    panel.y_axis(heatmap.YAxisConfig().unit(unit))
    panel.color(
        heatmap.HeatmapColorOptions()
        .mode(heat_model.HeatmapColorMode.SCHEME)
        .scheme("Turbo")
        .exponent(0.5)
        .steps(64)
    )
    return panel


def ranking(title: str, meaning: str, unit: str, *queries: Dataquery) -> bargauge.Panel:
    """A bar per series, for the end of the time range."""
    panel = _dressed(bargauge.Panel(), title, meaning, unit, queries).span(12).height(8)
    panel.orientation(looks.VizOrientation.HORIZONTAL).min(0).no_value("no data")
    panel.display_mode(looks.BarGaugeDisplayMode.BASIC).thresholds(_steps([(None, CALM)]))
    return panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def listing(
    title: str,
    meaning: str,
    unit: str,
    columns: Mapping[str, Dataquery],
    dollars: str = "",
    empty: str = "no data",
) -> table.Panel:
    """A row per set of labels, a column per query; `dollars`: the column that holds money."""
    queries = [query.format(PromQueryFormat.TABLE) for query in columns.values()]
    panel = _dressed(table.Panel(), title, meaning, unit, queries).span(12).height(8)
    panel.decimals(0).no_value(empty)
    shown = dict(zip(_names(queries), columns, strict=True))
    panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        model.DataTransformerConfig(
            "organize", options={"excludeByName": {"Time": True}, "renameByName": shown}
        )
    )
    if dollars:
        panel.override_by_name(dollars, _MONEY)
    return panel


_MONEY = [
    model.DynamicConfigValue("unit", "currencyUSD"),
    model.DynamicConfigValue("decimals", 4),
]


def words(title: str, content: str, height: int = 4) -> text.Panel:
    """Explains what is seen; a panel of its own, so that it cannot be missed."""
    panel = text.Panel().title(title).description("What this dashboard is, and how to read it.")
    panel.mode(text_model.TextMode.MARKDOWN).content(content)
    return panel.span(24).height(height)


# ---------------------------------------------------------------------------------- dressing


def _dressed(
    panel: _Charted, title: str, meaning: str, unit: str, queries: Sequence[Dataquery]
) -> _Charted:
    panel.title(title).description(meaning).datasource(DATASOURCE).unit(unit)
    for ref_id, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(query.ref_id(ref_id).datasource(DATASOURCE))
    return panel


def _names(queries: Sequence[Dataquery]) -> list[str]:
    """What Grafana calls a value column: with several queries, each by its letter."""
    if len(queries) == 1:
        return ["Value"]
    return [f"Value #{letter}" for letter in "ABCDEFGH"[: len(queries)]]


def _steps(steps: Sequence[tuple[float | None, str]]) -> dash.ThresholdsConfig:
    found = [model.Threshold(value, colour) for value, colour in steps]
    return dash.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def _words(found: Mapping[str, tuple[str, str]]) -> model.ValueMap:
    return model.ValueMap(
        {
            value: model.ValueMappingResult(text=shown, color=colour, index=index)
            for index, (value, (shown, colour)) in enumerate(found.items())
        }
    )
