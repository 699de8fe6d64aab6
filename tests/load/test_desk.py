"""However a run ends, its exit code is a verdict and the report is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent

from loadtests.desk import DONE, SAMPLES, Desk, Progress
from loadtests.samples import Sample
from loadtests.settings import Settings
from loadtests.verdict import HOLDS, NO_VERDICT
from tests.load.making import many, plan_of, run_of, sample


class Runner:
    """Locust's, as far as the desk uses it: hands messages over in the process."""

    def __init__(self) -> None:
        self.listeners: dict[str, Callable[..., None]] = {}
        self.has_quit = False

    def register_message(self, name: str, listener: Callable[..., None]) -> None:
        self.listeners[name] = listener

    def send(self, name: str, **data: Any) -> None:
        self.listeners[name](environment=None, msg=SimpleNamespace(data=data))

    def quit(self) -> None:
        self.has_quit = True


class Locust:
    """One run of a plan with as many arrivals as there are samples, and nobody at the target."""

    def __init__(self, folder: Path, count: int, workers: int = 1) -> None:
        self.runner = Runner()
        self.folder = folder
        self._ends: list[Callable[..., None]] = []
        quitting = SimpleNamespace(add_listener=self._ends.append)
        self.environment = SimpleNamespace(
            runner=self.runner, events=SimpleNamespace(quitting=quitting), process_exit_code=None
        )
        planned = plan_of("day")
        exact = replace(planned, rates=planned.rates.times(count / planned.rates.total))
        settings = Settings(out=folder, target="http://127.0.0.1:9")
        Desk(self.environment, settings, exact, workers).listen()

    def sends(self, samples: list[Sample]) -> None:
        self.runner.send(SAMPLES, samples=[list(one) for one in samples])

    def is_done(self) -> None:
        self.runner.send(DONE, lags_ms=[0.5] * 100, cut="")
        gevent.sleep(0)

    def ends(self) -> tuple[int, dict[str, Any]]:
        """The exit code and what is written down."""
        for listener in self._ends:
            listener(environment=self.environment)
        result = json.loads((self.folder / "result.json").read_text("utf-8"))
        return self.environment.process_exit_code, result


def test_complete_run_gets_its_verdict(tmp_path: Path) -> None:
    """All samples of all workers, then the end, then the exit code."""
    locust = Locust(tmp_path, 800, workers=2)
    for seed in (1, 2):
        locust.runner.send(SAMPLES, samples=[], started=True)
        locust.sends(many(400, seed))
    locust.is_done()
    assert not locust.runner.has_quit
    locust.is_done()
    assert locust.runner.has_quit
    code, result = locust.ends()
    assert (code, result["verdict"]) == (HOLDS, "holds")
    assert (tmp_path / "started").exists()


def test_interrupted_run_says_so(tmp_path: Path) -> None:
    """Half of the samples, no end: no verdict, and still a report."""
    locust = Locust(tmp_path, 400)
    locust.sends(many(200))
    code, result = locust.ends()
    assert code == NO_VERDICT
    assert result["reasons"][0].startswith("interrupted")


def test_lost_results_give_no_verdict(tmp_path: Path) -> None:
    """What nobody knows the result of is not a success."""
    locust = Locust(tmp_path, 400)
    locust.sends(many(400)[:-3])
    locust.is_done()
    code, result = locust.ends()
    assert (code, result["reasons"]) == (NO_VERDICT, ["3 arrivals left no result"])


def test_progress_tells_where_the_run_is() -> None:
    """Time of the scenario's day, how much was sent, and what the latest answers were like."""
    progress = Progress(plan_of("day"), run_of([]).clock)
    progress.add([sample(300.0, at_s=59.0)])
    progress.line()
    progress.add([sample(120.0, at_s=60.0, late_ms=1.5)])
    line = progress.line()
    assert line.split()[:4] == ["12:00", "50%", "2", "tickets"]
    assert "p50   120 ms" in line
    assert "late p99  1.5 ms" in line


def test_progress_without_answers() -> None:
    """A service that hangs shows as such."""
    assert "now: no answers" in Progress(plan_of("day"), run_of([]).clock).line()
