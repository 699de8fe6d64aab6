"""The monitoring's files, read for tests: rules, their tests, dashboards, metric names."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from classifier.metrics import Metrics
from k8s.monitoring.drawing.reading import Dashboard, filled, read

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "k8s" / "monitoring"
RULES = MONITORING / "rules"
RULE_TESTS = sorted((RULES / "tests").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks.md"
DASHBOARDS: dict[str, Dashboard] = {
    file.stem: read(file) for file in sorted((MONITORING / "dashboards").glob("*.json"))
}
EXCEPTIONS: dict[str, dict[str, str]] = tomllib.loads((MONITORING / "exceptions.toml").read_text())
# Grafana's and the dashboards' variables, replaced by something that parses.
VARIABLES = {
    "job": ".+",
    "instance": ".+",
    "path": ".+",
    "__rate_interval": "61s",
    "__range": "62s",
    "__range_s": "62",
}
# Made by Prometheus itself.
OF_PROMETHEUS = {"ALERTS", "up"}


def rules(file: str) -> list[dict[str, Any]]:
    """All rules of a file, whatever their group."""
    groups = yaml.safe_load((RULES / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yaml")}
RECORDED = {rule["record"]: rule for rule in rules("recording.yaml")}


def rule_tests(file: Path) -> list[dict[str, Any]]:
    """The cases of a promtool test file."""
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text())["tests"]
    return found


@cache
def parsed(expr: str) -> promql_parser.Expr:
    """The syntax tree. Raises ValueError for what is no PromQL."""
    found: promql_parser.Expr = promql_parser.parse(filled(expr, VARIABLES))
    return found


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """Every series selector in it, those under a range too."""
    found: list[promql_parser.VectorSelector] = []

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(parsed(expr), pre_visit=look)
    return list({id(node): node for node in found}.values())


def metrics_in(expr: str) -> set[str]:
    """Names of the metrics that an expression reads; a histogram's without its suffix."""
    return {family(str(selector.name)) for selector in selectors(expr)}


def family(name: str) -> str:
    """A histogram's own name."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def panel_queries() -> list[tuple[str, str]]:
    """Panel (with its dashboard) and query, of all dashboards."""
    return [
        (f"{board.title}: {panel.title}", target.expr)
        for board in DASHBOARDS.values()
        for panel in board.charts
        for target in panel.targets
    ]


def exported() -> set[str]:
    """Every metric of GET /metrics, by the TYPE lines of an idle service."""
    page = Metrics().render().decode()
    return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
