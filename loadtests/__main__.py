"""One load test from start to verdict: what `python3 dev load [scenario] [options]` runs.

Starts a simulated model server, Redis and the service, sends the scenario's tickets with Locust,
and ends what it started. Exit codes: 0 every limit holds, 1 one is broken, 2 wrong usage, 3 no
verdict (the generator was too slow, the run was cut short, or nothing could be measured).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from loadtests import faults, house
from loadtests.scenario import Plan, plan
from loadtests.scenarios import SCENARIOS, find
from loadtests.settings import (
    ROOT,
    SHIPPED_DATA,
    LoadError,
    Settings,
    positive,
    read_limits,
    write_settings,
)
from loadtests.verdict import NO_VERDICT

_LOCUSTFILE = Path(__file__).parent / "locustfile.py"
_USAGE = 2
_PREFERRED = -10  # nice: the generator needs little, but on time
_BESIDE_THE_RUN_S = 150.0  # Locust's start, warm-up, last answers and the report


def main() -> int:
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = _settings(options)
        planned = plan(find(settings.scenario), settings)
        return _run(settings, planned, options)
    except LoadError as error:
        print(f"load: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    lines = [f"  {one.name:<8} {one.shows}" for one in SCENARIOS.values()]
    found = argparse.ArgumentParser(
        prog="dev load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["scenarios:", *lines]),
    )
    add, faulty = found.add_argument, ", ".join(faults.NAMES)
    # fmt: off
    add("scenario", nargs="?", default="day", choices=tuple(SCENARIOS), metavar="scenario",
        help="one of those below (day)")
    add("--minutes", type=positive, metavar="M", help="length of the run")
    add("--compress", type=positive, metavar="C", help="1 s of the run stands for C s (day, peak)")
    add("--rate", type=positive, metavar="R", help="highest rate that is offered, in arrivals a second")
    add("--fault", choices=faults.NAMES, metavar="NAME",
        help=f"planted in every simulated model from the start: {faulty}")
    add("--fault-share", type=positive, default=1.0, metavar="S", help="share of the calls (1.0)")
    add("--data", type=Path, default=SHIPPED_DATA, metavar="FILE", help="tickets as NDJSON")
    add("--seed", type=int, default=1, help="same seed, same arrivals and tickets (1)")
    add("--limit", action="append", default=[], metavar="NAME=VALUE",
        help="another limit than the scenario's; their names stand in the report")
    add("--target", metavar="URL", help="a running service instead of one that is started here")
    add("--max-usd", type=positive, default=1.0, metavar="D",
        help="with --target: stop when real models have cost so much (1.00)")
    add("--no-redis", action="store_true", help="cache in process only")
    add("--out", type=Path, metavar="DIR", help="where the report goes (.dev/load/…)")
    add("--note", default="", help="a sentence for the report")
    # fmt: on
    return found


def _settings(options: argparse.Namespace) -> Settings:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    try:
        limits = read_limits(",".join(options.limit))
    except ValueError as error:
        raise LoadError(f"--limit: {error}") from None
    if options.target and options.fault:
        raise LoadError("--fault plants faults in the simulator that --target does without")
    return Settings(
        scenario=options.scenario,
        target=options.target or "",
        minutes=options.minutes,
        compress=options.compress,
        rate=options.rate,
        seed=options.seed,
        data=options.data.resolve(),
        out=(options.out or ROOT / ".dev" / "load" / f"{stamp}-{options.scenario}").resolve(),
        limits=limits,
        api_key=os.environ.get("LOAD_API_KEY", ""),
        max_usd=options.max_usd,
        note=options.note,
    )


def _run(settings: Settings, planned: Plan, options: argparse.Namespace) -> int:
    settings.out.mkdir(parents=True, exist_ok=True)
    print(f"load: {planned.scenario.name}: {planned.scenario.shows}")
    print(f"load: {planned.count:,} arrivals in {planned.rates.span_s:.0f} s. {planned.meaning}")
    if settings.target:
        return _send(settings, planned, faults.Nothing())
    print("load: starting simulator, Redis and service …", flush=True)
    with house.opened(
        settings.out,
        with_redis=not options.no_redis,
        models=planned.scenario.models,
        config=planned.scenario.config,
    ) as running:
        always = faults.Rule(options.fault, options.fault_share) if options.fault else None
        return against(running, settings, planned, always)


def against(
    running: house.House, settings: Settings, planned: Plan, always: faults.Rule | None = None
) -> int:
    """One load test of a house that is open; `always` is a fault from the start."""
    told = settings.out / "conditions.json"
    told.write_text(json.dumps({"conditions": running.description, "pids": running.pids}))
    ready = replace(settings, target=running.service, api_key=running.api_key, conditions=told)
    return _send(ready, planned, faults.Planted(running, planned, always))


def _send(settings: Settings, planned: Plan, trouble: faults.Trouble) -> int:
    """Runs Locust beside the planned faults; bounded in time."""
    deadline = time.monotonic() + planned.rates.span_s + _BESIDE_THE_RUN_S
    with _locust(settings) as locust:
        started = settings.out / "started"
        while locust.poll() is None and time.monotonic() < deadline:
            if trouble.began is None and started.exists():
                trouble.begin(time.monotonic())
            trouble.tick(time.monotonic(), settings.out)
            time.sleep(0.05)
        return NO_VERDICT if locust.poll() is None else locust.returncode


@contextlib.contextmanager
def _locust(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("LOAD_", "LOCUST_"))}
    child: subprocess.Popen[bytes] | None = None
    try:
        with (settings.out / "locust.log").open("wb") as log, house.undisturbed():
            child = subprocess.Popen(  # noqa: S603
                (
                    sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless",
                    "--only-summary", "--stop-timeout", "1",
                ),
                env={**environ, **write_settings(settings)}, cwd=ROOT, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        _prefer(child.pid)
        yield child
    finally:
        if child is not None:
            house.end(child)


def _prefer(pid: int) -> None:
    """Lets the generator go first where that is allowed: what it is late, it measures."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, pid, _PREFERRED)
        # Linux may weigh whole sessions before processes, and it has one of its own
        Path(f"/proc/{pid}/autogroup").write_text(str(_PREFERRED), encoding="utf-8")


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends through the clean-up code."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
