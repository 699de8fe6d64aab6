"""Ctrl-C and SIGTERM as an event, for commands that finish what they began."""

from __future__ import annotations

import asyncio
import signal


def stop_on_signal() -> asyncio.Event:
    """Set on the first SIGINT or SIGTERM. To be called once per process, in its loop."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
