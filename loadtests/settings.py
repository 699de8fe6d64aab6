"""What a run is asked to do: LOAD_* variables, the same for `dev load`, plain locust and pods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED_DATA = ROOT / "classifier" / "shipped" / "tickets.jsonl"
PREFIX = "LOAD_"


class LoadError(Exception):
    """A wish that cannot be granted; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field per variable: `max_usd` is LOAD_MAX_USD. None: what the scenario says."""

    scenario: str = "day"
    target: str = "http://127.0.0.1:8000"
    minutes: float | None = None
    compress: float | None = None
    rate: float | None = None  # the highest rate that is offered, in arrivals a second
    seed: int = 1
    data: Path = SHIPPED_DATA
    out: Path = ROOT / ".dev" / "load" / "locust"
    limits: Mapping[str, float] = field(default_factory=dict)  # LOAD_LIMITS="name=value,…"
    api_key: str = ""
    max_usd: float = 1.0  # of real money; simulated answers cost nothing
    conditions: Path | None = None  # what the runner knows of the machine
    note: str = ""  # stands in the report
    show: str = "table"  # at the end on the terminal; `markdown`: the whole report, for a pod's log


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Raises LoadError for unknown or unreadable variables."""
    known = {f"{PREFIX}{one.name.upper()}": one.name for one in fields(Settings)}
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
    if unknown := sorted(set(given) - set(known)):
        raise LoadError(f"unknown variable {unknown[0]}; there are: {', '.join(known)}")
    values: dict[str, object] = {}
    for variable, text in given.items():
        name = known[variable]
        try:
            values[name] = _READERS[name](text) if name in _READERS else text
        except ValueError as error:
            raise LoadError(f"{variable}={text}: {error}") from None
    return Settings(**values)  # type: ignore[arg-type]  # the readers give each field its type


def write_settings(settings: Settings) -> dict[str, str]:
    """The variables that `read_settings` reads back."""
    found = {}
    for one in fields(Settings):
        value = getattr(settings, one.name)
        if isinstance(value, Mapping):
            value = ",".join(f"{name}={limit:g}" for name, limit in value.items())
        if value not in (None, ""):
            found[f"{PREFIX}{one.name.upper()}"] = str(value)
    return found


def read_limits(text: str) -> dict[str, float]:
    """`name=value,name=value`. Raises ValueError."""
    found = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError("write NAME=VALUE, separated by commas")
        found[name.strip()] = float(value)
    return found


def positive(text: str) -> float:
    """Raises ValueError for what is no number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("a positive number is needed")
    return value


def _shown(text: str) -> str:
    if text not in ("table", "markdown"):
        raise ValueError("there are: table, markdown")
    return text


_READERS: Mapping[str, Callable[[str], object]] = {
    "minutes": positive,
    "compress": positive,
    "rate": positive,
    "max_usd": positive,
    "seed": int,
    "data": Path,
    "out": Path,
    "conditions": Path,
    "limits": read_limits,
    "show": _shown,
}
