"""A real Prometheus that scraped the real service: every query of every panel and rule has an answer."""

from __future__ import annotations

import math
from html import escape

import pytest

from k8s.monitoring.drawing.reading import Dashboard, Panel
from k8s.monitoring.preview import height, page
from tests.monitoring.conftest import Watched
from tests.monitoring.parts import DASHBOARDS, EXCEPTIONS, RECORDED, exported

PANELS = {
    f"{board.title}: {panel.title}": panel
    for board in DASHBOARDS.values()
    for panel in board.charts
}
PATHS = ("short", "long")


@pytest.mark.parametrize(("name", "panel"), PANELS.items(), ids=PANELS)
def test_panel_has_data(name: str, panel: Panel, watched: Watched) -> None:
    """Every query of the panel gives numbers, and none of them is NaN."""
    for target in panel.targets:
        for chosen in [{"path": path} for path in PATHS] if panel.repeat else [{}]:
            found = watched.view.ask(panel, target, chosen)
            if name in EXCEPTIONS["rare_panels"]:
                assert not found, "it has data: take it out of exceptions.toml"
                continue
            assert found, target.expr
            values = [value for series in found for _, value in series.points]
            assert values, target.expr
            assert not any(math.isnan(value) or math.isinf(value) for value in values), target.expr


def test_variables_have_values(watched: Watched) -> None:
    """The dashboards' drop-down lists are not empty."""
    for board in DASHBOARDS.values():
        for variable in board.variables.values():
            if variable["type"] == "query":
                assert watched.view.label_values(variable["query"])


def test_rules_run_on_real_data(watched: Watched) -> None:
    """No rule fails, and every recorded one has a value."""
    for rule in watched.prometheus.rules():
        assert rule["health"] == "ok", rule
    for name in RECORDED:
        found = watched.view.instant(name)
        assert found, name
        assert not any(math.isnan(series.last) for series in found), name


def test_claims_are_exported(watched: Watched) -> None:
    """Base path, volume and budget come from the config: no dashboard retypes them."""
    samples = watched.page.splitlines()
    assert 'classifier_claim_base_path_info{path="long"} 1.0' in samples
    assert "classifier_claim_tickets_per_day 50000.0" in samples
    assert "classifier_budget_dollars_per_day 5.0" in samples


def test_the_idle_page_names_all_metrics(watched: Watched) -> None:
    """What the other tests compare panels with is what a busy service exports."""
    busy = {line.split()[2] for line in watched.page.splitlines() if line.startswith("# TYPE")}
    assert busy == exported()


@pytest.mark.parametrize("board", DASHBOARDS.values(), ids=DASHBOARDS)
def test_preview_draws_every_panel(board: Dashboard, watched: Watched) -> None:
    """One page per dashboard, labelled as a preview, with all panels and nothing from outside."""
    html = page(board, watched.view)
    assert "this is not Grafana" in html
    assert "http" not in html.replace(watched.prometheus.url, "").replace("HTTP", "")
    for panel in board.panels:
        assert escape(panel.title.replace("$path", "short")) in html
    rare = sum(f"{board.title}: " in name for name in EXCEPTIONS["rare_panels"])
    assert html.count('class="nothing"') <= rare + 2 * sum(bool(p.repeat) for p in board.panels)
    assert height(html) > 1_000
