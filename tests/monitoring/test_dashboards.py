"""Dashboards as code: the JSON is what the code makes, and keeps the official linter's rules."""

from __future__ import annotations

import pytest
from promql_parser import Call, Expr, MatrixSelector, VectorSelector, walk

from k8s.monitoring.drawing.reading import Dashboard, Panel
from k8s.monitoring.generate import FOLDER, dashboards
from tests.monitoring.parts import (
    DASHBOARDS,
    EXCEPTIONS,
    OF_PROMETHEUS,
    RECORDED,
    exported,
    metrics_in,
    panel_queries,
    parsed,
    selectors,
)

UNITS = {"short", "none", "s", "percentunit", "currencyUSD", "bytes", "locale", "dateTimeFromNow"}
RATE_INTERVAL_S = 61  # what `parsed` puts in for $__rate_interval
every_dashboard = pytest.mark.parametrize("board", DASHBOARDS.values(), ids=DASHBOARDS)


def test_json_is_what_the_code_makes() -> None:
    """Nobody edits the JSON by hand: `.venv/bin/python -m k8s.monitoring.generate` writes it."""
    made = dashboards()
    assert {file.name for file in FOLDER.glob("*.json")} == made.keys()
    for name, text in made.items():
        assert (FOLDER / name).read_text() == text, f"{name} is out of date"


@every_dashboard
def test_variables(board: Dashboard) -> None:
    """A data source to choose, job and instance with several and all, anew when the time changes."""
    source = board.variables["datasource"]
    assert (source["type"], source["query"], source["label"]) == (
        "datasource",
        "prometheus",
        "Data source",
    )
    for name in ("job", "instance"):
        variable = board.variables[name]
        assert variable["label"] == name
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
        assert variable["refresh"] == 2
    for variable in board.variables.values():
        if variable["type"] == "query":
            selector, _ = variable["query"].removeprefix("label_values(").rsplit(",", 1)
            assert metrics_in(selector) <= exported()


@every_dashboard
def test_panels(board: Dashboard) -> None:
    """Each has a title, a description, a unit, a number of its own and a place of its own."""
    assert board.schemaVersion >= 39
    assert not board.editable
    assert board.description
    ids = [panel.id for panel in board.panels]
    assert len(set(ids)) == len(ids)
    titles = [panel.title for panel in board.panels]
    assert len(set(titles)) == len(titles)
    taken: set[tuple[int, int]] = set()
    for panel in board.panels:
        grid = panel.gridPos
        cells = {
            (x, y) for x in range(grid.x, grid.x + grid.w) for y in range(grid.y, grid.y + grid.h)
        }
        assert grid.x + grid.w <= 24, panel.title
        assert not taken & cells, panel.title
        taken |= cells
        if panel.type != "row":
            assert panel.title
            assert panel.description, panel.title
    assert board.panels[0].title == "Simulated or real"


@every_dashboard
def test_charts_use_the_chosen_source_and_a_unit(board: Dashboard) -> None:
    """The data source is the variable everywhere; units are ones that Grafana and the preview know."""
    assert board.charts
    for panel in board.charts:
        assert panel.unit in UNITS, panel.title
        assert panel.datasource["uid"] == "${datasource}", panel.title
        assert all(target.datasource["uid"] == "${datasource}" for target in panel.targets)
        assert len({target.refId for target in panel.targets}) == len(panel.targets), panel.title


@pytest.mark.parametrize(("panel", "expr"), panel_queries(), ids=[p for p, _ in panel_queries()])
def test_queries(panel: str, expr: str) -> None:
    """PromQL that filters by job and instance and lets Grafana choose the window of rates."""
    for selector in selectors(expr):
        if (
            selector.name in OF_PROMETHEUS
            or selector.name == "classifier:availability_objective:ratio"
        ):
            continue
        matched = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        if ":" not in str(selector.name):
            assert '{job=~"$job", instance=~"$instance"' in expr
            assert matched["instance"] == ".+", selector.name
        if "objective" not in str(selector.name):
            assert matched["job"] == ".+", selector.name
    for function, node in _ranges(parsed(expr)):
        if function in {"rate", "irate"}:
            assert node.range.total_seconds() == RATE_INTERVAL_S
        if str(node.vector_selector.name).endswith("_total"):
            assert function in {"rate", "irate", "increase"}
    bare = {s.name for s in _bare(parsed(expr)) if str(s.name).endswith(("_total", "_bucket"))}
    assert not bare, "a counter without rate or increase"


def test_every_metric_on_a_panel_exists() -> None:
    """A renamed metric leaves no empty panel."""
    there = exported() | set(RECORDED) | OF_PROMETHEUS
    for panel, expr in panel_queries():
        assert metrics_in(expr) <= there, panel


def test_every_exported_metric_is_on_a_panel() -> None:
    """Or stands in exceptions.toml with the reason why not."""
    shown = {name for _, expr in panel_queries() for name in metrics_in(expr)}
    assert exported() - shown == EXCEPTIONS["metrics_without_panel"].keys()


def test_rare_panels_exist() -> None:
    """An exception for a panel that is gone is gone, too."""
    titles = {
        f"{board.title}: {panel.title}" for board in DASHBOARDS.values() for panel in board.charts
    }
    assert EXCEPTIONS["rare_panels"].keys() <= titles


def _ranges(expr: Expr) -> list[tuple[str, MatrixSelector]]:
    """Every range selector with the function that it is given to."""
    found: list[tuple[str, MatrixSelector]] = []

    def look(node: Expr) -> None:
        if isinstance(node, Call):
            found.extend((node.func.name, a) for a in node.args if isinstance(a, MatrixSelector))

    walk(expr, pre_visit=look)
    return found


def _bare(expr: Expr) -> list[VectorSelector]:
    """Selectors that stand for themselves, not under a range."""
    found: list[VectorSelector] = []
    walk(expr, pre_visit=lambda n: found.append(n) if isinstance(n, VectorSelector) else None)
    ranged = [node.vector_selector for _, node in _ranges(expr)]
    return [node for node in found if str(node) not in map(str, ranged)]


def test_repeated_panels_stand_alone() -> None:
    """Copies of a panel take its whole line, so nothing may stand beside it."""
    for board in DASHBOARDS.values():
        repeated = [panel for panel in board.panels if panel.repeat]
        assert all(panel.repeat in board.variables for panel in repeated)
        assert all(_whole_line(panel) for panel in repeated)


def _whole_line(panel: Panel) -> bool:
    return panel.gridPos.w == 24 and panel.maxPerRow == 2
