"""Under which conditions a run was made: machine, versions, load, who used how much processor."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # Locust brings it along

from loadtests.settings import ROOT, Settings

_PACKAGES = (
    "ticket-classifier", "locust", "gevent", "litestar", "uvicorn", "openai", "redis", "msgspec",
)  # fmt: skip
GENERATOR = "generator"


class Witness:
    """Writes down under which conditions a run is made; processes are known to the runner alone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        told = _told(settings.conditions)
        self._house: dict[str, str] = told.get("conditions", {})
        self._pids: dict[str, int] = told.get("pids", {}) | {GENERATOR: os.getpid()}
        self._before: dict[str, float] = {}

    def begin(self) -> dict[str, str]:
        settings = self._settings
        self._before = _cpu_seconds(self._pids)
        found = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": machine(),
            "software": versions(),
            "source": _commit(),
            **self._house,
            "target": settings.target if not self._house else "",
            "tickets": f"{settings.data.name}, drawn with seed {settings.seed}",
            "priority of the generator": _priority(),
            "load before": load(),
            "note": settings.note,
        }
        return {name: value for name, value in found.items() if value}

    def end(self) -> tuple[dict[str, str], dict[str, float]]:
        """The load meanwhile, and the processor seconds that each process used."""
        after = _cpu_seconds(self._pids)
        used = {name: after[name] - self._before[name] for name in after if name in self._before}
        return {"load after": load()}, used


def machine() -> str:
    memory_gb = psutil.virtual_memory().total / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {memory_gb:.0f} GB, {platform.system()} {platform.release()}"


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def load() -> str:
    """Load averages: other work on the machine shows here."""
    return " / ".join(f"{value:.1f}" for value in psutil.getloadavg()) + " (1, 5, 15 min)"


def _priority() -> str:
    try:
        return f"nice {os.getpriority(os.PRIO_PROCESS, 0)}"
    except (OSError, AttributeError):
        return ""


def _told(file: Path | None) -> dict[str, Any]:
    """What only the runner knows: how the parts were started, and their processes."""
    if file is None:
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _cpu_seconds(pids: dict[str, int]) -> dict[str, float]:
    found = {}
    for name, pid in pids.items():
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        found[name] = times.user + times.system
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return ""
    try:
        asked = subprocess.run(  # noqa: S603
            (git, "-C", str(ROOT), "describe", "--always", "--dirty"),
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.strip()
