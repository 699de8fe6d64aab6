"""The commands as a user starts them: as a process with signals and streams, or as `main` in here."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from classifier.__main__ import main
from tests.support.upstream import Upstream, served

# What the machine that runs the tests may have set, and what would change what is tested.
_FOREIGN = ("CLASSIFIER_", "OPENAI_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_", "CLICOLOR")


class Result(NamedTuple):
    """What a command leaves behind."""

    code: int
    out: str
    err: str

    @property
    def answers(self) -> list[dict[str, Any]]:
        """Standard output as NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Result]


def environment(**variables: str) -> dict[str, str]:
    """The machine's environment without what concerns the classifier, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "CLASSIFIER_DRAIN_S": "0", **variables}


def called(*arguments: str | Path, **variables: str) -> int:
    """`main` in this process: quick, where neither signals nor streams matter."""
    before, root = dict(os.environ), logging.getLogger()
    ours = logging.getLogger("classifier")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    os.environ.clear()
    os.environ.update(environment(**variables))
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as ended:  # argparse
        return int(ended.code or 0)
    finally:
        os.environ.clear()
        os.environ.update(before)
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


@contextmanager
def started(*arguments: str | Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes to all its streams; it is gone at the end in any case."""
    process = subprocess.Popen(
        [sys.executable, "-m", "classifier", *map(str, arguments)],
        env=environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # so that it ends its own children first
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str], within_s: float = 30.0) -> Result:
    """How it ended; fails when it does not in time."""
    out, err = process.communicate(timeout=within_s)
    return Result(process.returncode, out, err)


def wait_until(holds: Callable[[], object], within_s: float = 30.0) -> None:
    """Asks again and again until it holds; fails when it does not in time."""
    deadline = monotonic() + within_s
    while not holds():
        assert monotonic() < deadline, f"not true after {within_s} s: {holds}"
        sleep(0.01)


@contextmanager
def threaded(upstream: Upstream) -> Iterator[Upstream]:
    """A scripted model in a thread, for commands that have this thread's loop to themselves."""
    loop = asyncio.new_event_loop()
    up, ends = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with served(upstream, upstream.port):
            up.set()
            await ends.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(5)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()
        loop.close()


def rows_of(file: Path) -> list[dict[str, Any]]:
    """An NDJSON file."""
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def write_tickets(file: Path, *tickets: dict[str, Any]) -> Path:
    """An NDJSON file with these tickets."""
    file.write_text("".join(json.dumps(ticket) + "\n" for ticket in tickets), encoding="utf-8")
    return file


def numbered(count: int) -> list[dict[str, Any]]:
    """Tickets that no cache takes for each other."""
    return [{"id": f"t{n}", "body": f"ticket number {n}"} for n in range(1, count + 1)]


def patient(config: Path) -> Path:
    """The config with timeouts that only a model that hangs meets: machines may be busy."""
    config.write_text(config.read_text().replace("timeout_s = 1.0", "timeout_s = 20.0"))
    return config
