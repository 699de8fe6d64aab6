"""Asks a Prometheus what a dashboard asks, as Grafana would at this width and time range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
import msgspec
from msgspec import Struct

from k8s.monitoring.drawing.reading import Panel, Target, filled

_DAY_S = 86_400.0


class Series(Struct, frozen=True):
    """One line of an answer: its labels and (time, value) pairs."""

    labels: dict[str, str]
    points: list[tuple[float, float]]

    @property
    def last(self) -> float:
        return self.points[-1][1]


class _Result(Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class _Data(Struct):
    result: list[_Result]


class _Reply(Struct):
    data: _Data


@dataclass(frozen=True)
class View:
    """A Prometheus and a time range of it; times in seconds."""

    client: httpx2.Client
    url: str
    start_s: float
    end_s: float
    scrape_s: float = 5.0

    @property
    def range_s(self) -> float:
        return self.end_s - self.start_s

    def ask(self, panel: Panel, target: Target, chosen: Mapping[str, str]) -> list[Series]:
        """A query's answer; `chosen` are values of variables beside job and instance."""
        step_s = self.step_s(panel)
        expr = filled(target.expr, self._values(step_s) | dict(chosen))
        if target.instant:
            return self.instant(expr)
        start_s, end_s = self.times(panel)
        reply = self._get(
            "query_range", query=expr, start=str(start_s), end=str(end_s), step=str(step_s)
        )
        return [Series(found.metric, _numbers(found.values)) for found in reply.data.result]

    def instant(self, expr: str) -> list[Series]:
        reply = self._get("query", query=expr, time=str(self.end_s))
        values = [(found.metric, found.value) for found in reply.data.result]
        return [Series(labels, _numbers([value])) for labels, value in values if value]

    def label_values(self, definition: str) -> list[str]:
        """`label_values(selector, label)`, as a query variable has it."""
        selector, label = definition.removeprefix("label_values(").removesuffix(")").rsplit(",", 1)
        found = self.instant(filled(selector, self._values(self.scrape_s)))
        return sorted({series.labels[label.strip()] for series in found})

    def times(self, panel: Panel) -> tuple[float, float]:
        """What the panel shows: the dashboard's range, or its own days from midnight on."""
        if not panel.timeFrom:
            return self.start_s, self.end_s
        last = self.end_s // _DAY_S * _DAY_S
        return last - float(panel.timeFrom.removesuffix("d")) * _DAY_S, last

    def step_s(self, panel: Panel) -> float:
        if panel.interval == "1d":
            return _DAY_S
        pixels = 1_600 * panel.gridPos.w / 24
        return max(self.scrape_s, math.ceil(self.range_s / pixels))

    def _values(self, step_s: float) -> dict[str, str]:
        rate_s = max(step_s + self.scrape_s, 4 * self.scrape_s)  # as Grafana's data source does
        return {
            "job": ".+",
            "instance": ".+",
            "__rate_interval": f"{rate_s:.0f}s",
            "__range": f"{self.range_s:.0f}s",
            "__range_s": f"{self.range_s:.0f}",
        }

    def _get(self, what: str, **query: str) -> _Reply:
        reply = self.client.post(f"{self.url}/api/v1/{what}", data=query)
        if reply.status_code != httpx2.codes.OK:
            raise ValueError(f"Prometheus refuses {query['query']}: {reply.text}")
        return msgspec.json.decode(reply.content, type=_Reply)


def _numbers(pairs: list[tuple[float, str]]) -> list[tuple[float, float]]:
    return [(time_s, float(value)) for time_s, value in pairs]
