"""A dashboard of ours: rows of panels, the variables that every query uses, links to the others."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as dash
from grafana_foundation_sdk.models import dashboard as model

from k8s.monitoring.boards.panels import CALM, DATASOURCE, WARN, Panel, ask_once, number, promql

_TAG = "classifier"


class Row:
    """A titled line of panels; widths add up to 24 per line."""

    def __init__(self, title: str, *panels: Panel) -> None:
        self.title = title
        self.panels = panels


@dataclass(frozen=True)
class Board:
    """What differs from dashboard to dashboard. `since`: where its time range begins."""

    uid: str
    title: str
    description: str
    since: str
    rows: list[Row]

    def build(self) -> model.Dashboard:
        """Grafana's classic model, every panel with its own number."""
        built = dash.Dashboard(self.title).uid(self.uid).description(self.description)
        built.tags([_TAG]).readonly().time(self.since, "now").refresh("30s").timezone("browser")
        built.tooltip(model.DashboardCursorSync.CROSSHAIR)
        for variable in _variables():
            built.with_variable(variable)
        built.annotation(_reloads()).link(_others())
        for row in self.rows:
            if row.title:
                built.with_row(dash.Row(row.title))
            for panel in row.panels:
                built.with_panel(panel)
        found = built.build()
        for number_, panel_ in enumerate(found.panels or [], start=1):
            panel_.id_val = number_
        return found


def models_row() -> Row:
    """First on every dashboard: whether its figures say anything about real models."""
    return Row(
        "",
        number(
            "Simulated or real",
            "SIMULATED: the bundled simulator has answered on this path since the service started; "
            "its latencies are made up and say nothing about a vendor. real: no simulated answer.",
            "none",
            ask_once(
                "max by (path) (classifier_simulated{@}) or 0 * max by (path) (classifier_path_up{@})",
                "path {{path}}",
            ),
            words={"0": ("real", CALM), "1": ("SIMULATED", WARN)},
        )
        .span(24)
        .height(3),
    )


def _variables() -> list[dash.DatasourceVariable | dash.QueryVariable]:
    source = dash.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [
        source,
        _variable("job", "label_values(classifier_build_info, job)"),
        _variable("instance", 'label_values(classifier_build_info{job=~"$job"}, instance)'),
        _variable("path", 'label_values(classifier_path_up{job=~"$job"}, path)'),
    ]


def _variable(name: str, query: str) -> dash.QueryVariable:
    variable = dash.QueryVariable(name).label(name).datasource(DATASOURCE).query(query)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(model.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".+")
    return variable.current(model.VariableOption(text="All", value="$__all", selected=True))


def _reloads() -> dash.AnnotationQuery:
    expr = promql("changes(classifier_config_loaded_timestamp_seconds{@}[$__rate_interval]) > 0")
    mark = dash.AnnotationQuery().name("Config went live").datasource(DATASOURCE).enable(True)
    return mark.icon_color("blue").expr(expr).title_format("config went live").tag_keys("instance")


def _others() -> dash.DashboardLink:
    link = dash.DashboardLink("Classifier").type(model.DashboardLinkType.DASHBOARDS).tags([_TAG])
    return link.as_dropdown(False).include_vars(True).keep_time(True)
