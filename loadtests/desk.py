"""Where all samples meet: it shows how far the run is, gives the verdict and has it written down."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent

from loadtests import markdown, report
from loadtests.conditions import Witness
from loadtests.metrics import scrape
from loadtests.run import Run
from loadtests.samples import Sample, percentiles
from loadtests.scenario import Plan
from loadtests.settings import Settings
from loadtests.verdict import NO_VERDICT, judge

# Messages of the workers; without workers the runner hands them over in the process.
SAMPLES = "load_samples"
DONE = "load_done"
STARTED = "started"
FAULTS = "faults.json"
_SHOW_S = 5.0


class Desk:
    """Promise: whatever ends the run, its exit code is a verdict and the report says why."""

    def __init__(self, environment: Any, settings: Settings, plan: Plan, workers: int) -> None:
        self._environment = environment
        self._settings = settings
        self._run = Run(settings=settings, plan=plan, workers=workers)
        self._waiting = workers
        self._begun = False
        self._progress = Progress(plan, self._run.clock)
        self._witness = Witness(settings)

    def listen(self) -> None:
        self._environment.runner.register_message(SAMPLES, self._on_samples)
        self._environment.runner.register_message(DONE, self._on_done)
        self._environment.events.quitting.add_listener(self._finish)

    def _on_samples(self, msg: Any, **_: Any) -> None:
        if msg.data.get("started"):
            self._start()
        found = [Sample(*row) for row in msg.data["samples"]]
        self._run.samples += found
        self._progress.add(found)

    def _start(self) -> None:
        """The first worker begins: counters are read, the runner is told."""
        if self._begun:
            return
        self._begun = True
        self._run.before = scrape(self._settings.target)
        self._run.conditions = self._witness.begin()
        self._run.began = time.time()
        self._settings.out.mkdir(parents=True, exist_ok=True)
        (self._settings.out / STARTED).write_text(f"{self._run.began}\n", encoding="utf-8")
        gevent.spawn(self._show)

    def _on_done(self, msg: Any, **_: Any) -> None:
        self._run.lags_ms += msg.data["lags_ms"]
        self._run.cut = self._run.cut or msg.data["cut"]
        self._waiting -= 1
        if not self._waiting:
            gevent.spawn(self._environment.runner.quit)

    def _finish(self, **_: Any) -> None:
        run = self._run
        missing = run.plan.count - len(run.samples)
        if self._waiting:
            run.cut = run.cut or "interrupted before all tickets were sent"
        elif missing and not run.cut:
            run.cut = f"{missing} arrivals left no result"
        run.after = scrape(self._settings.target)
        load, run.cpu = self._witness.end()
        run.conditions |= load
        run.faults = _read_faults(self._settings.out / FAULTS)
        run.verdict = judge(run.plan, run.samples, run.lags_ms, run.cut, run.grown_mb, run.labelled)
        self._environment.process_exit_code = NO_VERDICT  # unless the report can be written
        summary = report.write(run, self._settings.out)
        if self._settings.show == "markdown":
            print(markdown.render(summary))
        print(report.spoken(summary, self._settings.out, colour=sys.stdout.isatty()), flush=True)
        self._environment.process_exit_code = run.verdict.code

    def _show(self) -> None:
        """A line every few seconds."""
        while self._waiting:
            gevent.sleep(_SHOW_S)
            print(self._progress.line(), flush=True)


class Progress:
    """Where a run is. Adds up as samples come: a walk over 50,000 would hold up the arrivals."""

    def __init__(self, plan: Plan, clock: Callable[[float], str]) -> None:
        self._span_s = plan.rates.span_s
        self._clock = clock
        self._at_s = 0.0
        self._tickets = 0
        self._failed = 0
        self._fresh: list[Sample] = []

    def add(self, samples: list[Sample]) -> None:
        for sample in samples:
            self._at_s = max(self._at_s, sample.at_s)
            self._tickets += sample.tickets
            self._failed += sample.failed
        self._fresh += samples

    def line(self) -> str:
        """Time, share, tickets, and what the answers since the last line were like."""
        fresh, self._fresh = self._fresh, []
        now = "no answers"
        if fresh:
            p50, p99 = percentiles((sample.latency_ms for sample in fresh), 50, 99)
            late = percentiles((sample.late_ms for sample in fresh), 99)[0]
            now = f"p50 {p50:5.0f} ms  p99 {p99:5.0f} ms   late p99 {late:4.1f} ms"
        return (
            f"{self._clock(self._at_s)}  {self._at_s / self._span_s:4.0%}  {self._tickets:6,} tickets  "
            f"{self._failed:4} failed   now: {now}"
        )


def _read_faults(file: Path) -> list[tuple[float, str]]:
    """What the runner did meanwhile: (seconds since the start, what)."""
    try:
        return [(at_s, what) for at_s, what in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []
