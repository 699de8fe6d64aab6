"""`python -m classifier`, watched from inside its own process.

`python -m tests.soak.watched FOLDER serve …` is `python -m classifier serve …`. On SIGUSR1 it moves
its wall clock as FOLDER/order.json says and writes what it sees to FOLDER/sight.json: live tasks by
what they run, and how long the event loop kept a timer waiting since it was last asked.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.lag import Lag

ORDER, SIGHT = "order.json", "sight.json"


class WallClock:
    """The time of day, moved by `offset_s`; everything monotonic is left alone."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        self._seconds, self._nanoseconds = time.time, time.time_ns

    def install(self) -> None:
        """Before anything else is imported, so that nobody holds on to the old functions."""
        time.time = self.seconds
        time.time_ns = lambda: self._nanoseconds() + int(self.offset_s * 1e9)
        dt.datetime = _Moved  # type: ignore[misc]

    def seconds(self) -> float:
        return self._seconds() + self.offset_s


class _TakesRealOnes(type(dt.datetime)):  # type: ignore[misc]
    """What was made before, or in C, is a datetime too."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _RealDatetime)


_RealDatetime = dt.datetime


class _Moved(_RealDatetime, metaclass=_TakesRealOnes):
    """Asks the moved clock; everything else is the real class'."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return _RealDatetime.fromtimestamp(time.time(), tz)

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: dt.tzinfo | None = None) -> Any:
        return _RealDatetime.fromtimestamp(timestamp, tz)


class Window:
    """Answers SIGUSR1. Runs in the main thread, between two steps of the loop."""

    def __init__(self, folder: Path, clock: WallClock) -> None:
        self._folder = folder
        self._clock = clock
        self._lag: Lag | None = None

    def look(self, _number: int, _frame: FrameType | None) -> None:
        order = json.loads((self._folder / ORDER).read_text())
        self._clock.offset_s = order["clock_offset_s"]
        sight = {"number": order["number"], **self._seen()}
        new = self._folder / f"{SIGHT}.new"
        new.write_text(json.dumps(sight))
        new.replace(self._folder / SIGHT)

    def _seen(self) -> dict[str, Any]:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return {"tasks": {}, "lag_s": 0.0}
        if self._lag is None:
            self._lag = Lag(loop)
        coroutines = [task.get_coro() for task in asyncio.all_tasks(loop)]
        names = Counter(getattr(one, "__qualname__", type(one).__name__) for one in coroutines)
        return {"tasks": names, "lag_s": self._lag.take_s()}


def main(folder: str, *arguments: str) -> int:
    """The command with its window; returns its exit code."""
    clock = WallClock()
    clock.install()
    from classifier.__main__ import main as run  # noqa: PLC0415 -- after the clock

    signal.signal(signal.SIGUSR1, Window(Path(folder), clock).look)
    sys.argv[:] = ["classifier", *arguments]
    os.environ.pop("PYTHONPATH", None)
    return run([*arguments])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
