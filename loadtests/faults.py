"""Trouble on purpose: faults in the simulated models, and a real Redis that is killed."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import NamedTuple, Protocol

from loadtests.house import House
from loadtests.scenario import Phase, Plan

# of the simulator's faults, those that a load test tells something about
NAMES = ("slow", "overloaded", "server_error", "rate_limited", "hang", "cut", "wrong_label")
_FILE = "faults.json"


class Rule(NamedTuple):
    """A fault of the simulator and the share of calls that it hits."""

    fault: str
    share: float = 1.0


class Trouble(Protocol):
    """What happens to the house during a run. `began` is when the run did, on a monotonic clock."""

    began: float | None

    def begin(self, now: float) -> None: ...

    def tick(self, now: float, folder: Path) -> None: ...


class Nothing:
    """A house that is somebody else's is left alone."""

    began: float | None = None

    def begin(self, now: float) -> None:
        self.began = now

    def tick(self, now: float, folder: Path) -> None:
        pass


class Planted:
    """The scenario's outages at their time, and one fault from the start if asked for."""

    def __init__(self, house: House, plan: Plan, always: Rule | None) -> None:
        self.began: float | None = None
        self._house = house
        self._span_s = plan.rates.span_s
        self._waiting = [phase for phase in plan.scenario.phases if phase.gone]
        self._current: Phase | None = None
        self._always = always
        self._done: list[tuple[float, str]] = []
        if always:
            self._plant(always)
            self._done.append((0.0, f"every model: {always.share:.0%} {always.fault}"))

    def begin(self, now: float) -> None:
        self.began = now

    def tick(self, now: float, folder: Path) -> None:
        """Does what is due; cheap when nothing is."""
        if self.began is None:
            return
        at_s, count = now - self.began, len(self._done)
        if self._current and at_s >= self._current.end * self._span_s:
            self._over(self._current, at_s)
        elif self._waiting and at_s >= self._waiting[0].start * self._span_s:
            self._strike(self._waiting.pop(0), at_s)
        if len(self._done) > count or not (folder / _FILE).exists():
            (folder / _FILE).write_text(json.dumps(self._done), encoding="utf-8")

    def _strike(self, phase: Phase, at_s: float) -> None:
        self._current = phase
        if phase.gone == "model":
            self._plant(Rule("overloaded"))
            self._done.append((at_s, "every model is overloaded"))
        elif self._house.redis is None:
            self._done.append((at_s, "there is no Redis that could go"))
        else:
            self._house.redis.kill()
            self._done.append((at_s, "Redis is killed"))

    def _over(self, phase: Phase, at_s: float) -> None:
        self._current = None
        if phase.gone == "model":
            self._ask("DELETE")
            if self._always:
                self._plant(self._always)
            self._done.append((at_s, "the models are back"))
        elif self._house.redis is not None:
            self._house.redis.start()
            self._done.append((at_s, "Redis is back, empty"))

    def _plant(self, rule: Rule) -> None:
        self._ask("POST", rule._asdict())

    def _ask(self, method: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 -- our own simulator
            f"{self._house.simulator}/simulator/faults", data, method=method
        )
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            response.read()
