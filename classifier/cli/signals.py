"""Ctrl-C and SIGTERM for commands that finish what they began."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """Set on the first ctrl-c, SIGTERM or hang-up; a second ctrl-c ends at once. In the running loop."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop.call_soon_threadsafe(stopped.set)

    before = {number: signal.getsignal(number) for number in _ends()}
    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_well_on_sigterm() -> None:
    """Exit code 0 for SIGTERM; a server raises it again when it has finished its work."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)


def _ends() -> Iterator[signal.Signals]:
    """What asks a command to end; under `nohup` a hang-up does not."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP
