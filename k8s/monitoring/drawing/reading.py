"""Reads a dashboard's JSON as Grafana would: panels, their place, their queries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field


class GridPos(Struct, frozen=True):
    h: int
    w: int
    x: int
    y: int


class Target(Struct, frozen=True):
    """One query of a panel."""

    expr: str
    refId: str  # noqa: N815 -- Grafana's names
    legendFormat: str = ""  # noqa: N815
    instant: bool = False
    format: str = ""
    datasource: dict[str, str] = field(default_factory=dict)


class FieldConfig(Struct, frozen=True):
    defaults: dict[str, Any] = field(default_factory=dict)
    overrides: list[dict[str, Any]] = field(default_factory=list)


class Panel(Struct, frozen=True):
    """One panel, or the title of a row (`type` is row)."""

    id: int
    type: str
    title: str
    gridPos: GridPos  # noqa: N815
    description: str = ""
    targets: list[Target] = field(default_factory=list)
    fieldConfig: FieldConfig = field(default_factory=FieldConfig)  # noqa: N815
    options: dict[str, Any] = field(default_factory=dict)
    datasource: dict[str, str] = field(default_factory=dict)
    transformations: list[dict[str, Any]] = field(default_factory=list)
    repeat: str = ""
    maxPerRow: int = 4  # noqa: N815
    interval: str = ""
    timeFrom: str = ""  # noqa: N815

    @property
    def unit(self) -> str:
        return str(self.fieldConfig.defaults.get("unit", ""))


class Dashboard(Struct, frozen=True):
    """The parts of Grafana's classic model that are looked at here."""

    uid: str
    title: str
    description: str
    tags: list[str]
    schemaVersion: int  # noqa: N815
    editable: bool
    panels: list[Panel]
    templating: dict[str, list[dict[str, Any]]]
    annotations: dict[str, list[dict[str, Any]]]

    @property
    def charts(self) -> list[Panel]:
        """Panels that ask something."""
        return [panel for panel in self.panels if panel.targets]

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        return {variable["name"]: variable for variable in self.templating["list"]}


def read(file: Path) -> Dashboard:
    return msgspec.json.decode(file.read_bytes(), type=Dashboard)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Puts the values of variables and of Grafana's own `$__…` in; longest names first."""
    names = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    variable = rf"\$\{{({names})\}}|\$({names})\b"
    return re.sub(variable, lambda found: values[found[1] or found[2]], text)


def repeats(panel: Panel, values: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    """The variable's value for each copy of a repeated panel; one empty mapping otherwise."""
    if not panel.repeat:
        yield {}
        return
    for value in values.get(panel.repeat, []):
        yield {panel.repeat: value}
