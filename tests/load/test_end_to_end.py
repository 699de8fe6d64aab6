"""`dev load` as a user runs it: the real service, simulator, Redis and Locust, for a few seconds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # Locust brings it along
import pytest

from loadtests.verdict import BROKEN, HOLDS

ROOT = Path(__file__).parents[2]
SHORT = ("day", "--minutes", "0.08", "--rate", "25", "--seed", "5")
# A machine that also runs the other tests proves nothing about speed: here it need not.
PATIENT = [
    word
    for name in ("short_p50_ms", "short_p95_ms", "all_p99_ms", "overhead_p50_ms",
                 "overhead_p99_ms", "late_p99_ms", "late_share", "lag_p99_ms")
    for word in ("--limit", f"{name}=3000")
]  # fmt: skip
# Two seconds more are far above these.
STRICT = [*PATIENT, "--limit", "short_p50_ms=1000", "--limit", "all_p99_ms=1900"]


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    """One load test, as `python3 dev load` starts it."""
    return subprocess.Popen(
        (sys.executable, "-m", "loadtests", *arguments, "--out", str(out)),
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, int, str]]]:
    """A good run and one with a planted fault, side by side: folder, exit code, what was said."""
    folder = tmp_path_factory.mktemp("load")
    wanted = {"good": (*SHORT, *PATIENT), "slow": (*SHORT, *STRICT, "--fault", "slow")}
    started = {name: start(folder / name, *words) for name, words in wanted.items()}
    try:
        said = {name: child.communicate(timeout=90)[0] for name, child in started.items()}
        yield {name: (folder / name, started[name].returncode, said[name]) for name in started}
    finally:
        for child in started.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                child.wait(30)


Runs = dict[str, tuple[Path, int, str]]


def test_good_run_holds(runs: Runs) -> None:
    """Exit code 0, the verdict, the table and the way to the report."""
    folder, code, said = runs["good"]
    assert code == HOLDS, said
    assert "load: day: holds" in said
    assert f"report: {folder / 'report.html'}" in said


def test_planted_latency_is_found(runs: Runs) -> None:
    """With a model that is two seconds slower the exit code is not 0, and the reason is the latency."""
    folder, code, said = runs["slow"]
    assert code == BROKEN, said
    result = json.loads((folder / "result.json").read_text("utf-8"))
    broken = {limit["name"] for limit in result["limits"] if limit["ok"] is False}
    assert "all_p99_ms" in broken
    assert "every model: 100% slow" in (folder / "report.md").read_text("utf-8")


def test_report_holds_what_was_measured(runs: Runs) -> None:
    """Both paths, the service's own stages, cost, conditions; and that the models were simulated."""
    folder = runs["good"][0]
    result = json.loads((folder / "result.json").read_text("utf-8"))
    rows = {(row["path"], row["way"]): row for row in result["rows"]}
    assert {("short", "model"), ("long", "model"), ("all", "")} <= set(rows)
    short = rows["short", "model"]
    assert 0 < short["overhead"][0] < short["served"][0] < short["latency"][0]
    assert 0 < short["dollars_per_1000"] < rows["long", "model"]["dollars_per_1000"]
    assert result["simulated"] is True
    assert {claim["claimed"] for claim in result["claims"]} == {"100 ms", "400 ms", "4x", "90%"}
    assert "in process, then" in result["conditions"]["cache"]
    assert "service" in result["conditions"]["processor time"]
    assert "<svg" in (folder / "report.html").read_text("utf-8")


def test_every_ticket_is_accounted_for(runs: Runs) -> None:
    """As many samples as arrivals that were planned, all with a label."""
    folder, _, said = runs["good"]
    planned = int(said.partition(" arrivals in")[0].rpartition(" ")[2].replace(",", ""))
    lines = (folder / "samples.csv").read_text("utf-8").splitlines()
    assert len(lines) - 1 == planned


@pytest.mark.parametrize("name", ["good", "slow"])
def test_nothing_is_left_behind(runs: Runs, name: str) -> None:
    """Simulator, Redis and service have ended."""
    pids = json.loads((runs[name][0] / "conditions.json").read_text("utf-8"))["pids"]
    assert {"service", "simulator"} <= set(pids)
    assert not [pid for pid in pids.values() if _is_ours(pid)]


def test_interrupted_run_cleans_up(tmp_path: Path) -> None:
    """Ended while it starts its parts: they end with it, and nobody reads a traceback."""
    child = start(tmp_path, "repeat")
    deadline = time.monotonic() + 60
    while not (parts := psutil.Process(child.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # past the moment between the fork and its being noted; training takes longer
    child.send_signal(signal.SIGTERM)
    said = child.communicate(timeout=30)[0]
    assert child.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    assert parts
    assert not psutil.wait_procs(parts, timeout=5)[1]


def test_wrong_usage_starts_nothing(tmp_path: Path) -> None:
    """Exit code 2 and what to do instead, at once."""
    wrong = subprocess.run(
        (sys.executable, "-m", "loadtests", "day", "--limit", "speed=1", "--out", str(tmp_path)),
        cwd=ROOT, text=True, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert wrong.returncode == 2
    assert "unknown limit 'speed'; there are: answered" in wrong.stderr
    assert list(tmp_path.iterdir()) == []


def _is_ours(pid: int) -> bool:
    """Whether the process still runs; its number may have been given to another one."""
    try:
        return str(ROOT) in " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
