"""uvicorn behind the edge's protocol, ending in order: drain, finish, close.

SIGTERM: readiness is 503 and every answer the last of its connection, at once; requests are served
for `drain_s` more, until load balancers have heard of it. Then nothing new is accepted, what is
under way is finished, and the app closes what it opened. A second signal skips the drain.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from functools import partial
from math import ceil
from time import monotonic
from types import FrameType
from typing import Any, cast

import uvicorn

from classifier.edge.census import Census
from classifier.edge.protocol import EdgeProtocol
from classifier.logs import event

# Connections that wait in the kernel: all are accepted in one turn of the loop, 0.2 ms for each that
# is too many, so 0.1 s (2026-11; uvicorn's own 2,048 would be 0.4 s).
BACKLOG = 512
TELLING_S = 2.0  # beyond the time of what is under way, to say how far it came


def finish_s(max_timeout_s: float) -> float:
    """How long requests under way may take after the drain: all that a ticket may ask for."""
    return max_timeout_s + TELLING_S


def config_for(
    app: Any, census: Census, ops: tuple[int, Any] | None = None, **more: Any
) -> uvicorn.Config:
    """How uvicorn carries the app, and the one on the port `ops`; the limits are the edge's."""
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(EdgeProtocol, census=census, ops=ops)),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who a proxy says that the client is
        backlog=BACKLOG,
        **more,
    )


class Server(uvicorn.Server):
    """Serves until a signal, then as long as it takes to end without dropping a request."""

    def __init__(
        self, config: uvicorn.Config, census: Census, drain_s: float, end: Callable[[], float]
    ) -> None:
        """`end` is told that nobody else comes; returns how long those here may take, in seconds."""
        super().__init__(config)
        self._census = census
        self._drain_s = drain_s
        self._end = end
        self._asked_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs between two byte codes of anything: it only notes what `on_tick` does."""
        if sig != signal.SIGTERM or not self.started or not self._drain_s or self._asked_at:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self._asked_at = monotonic()

    async def on_tick(self, counter: int) -> bool:
        if self._asked_at is not None:
            if not self._census.draining:
                event(logging.INFO, "service.draining", window_s=self._drain_s)
                self._census.drain()
            self.should_exit |= monotonic() >= self._asked_at + self._drain_s
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Any = None) -> None:
        if not self._census.draining:
            self._census.drain()
        self.config.timeout_graceful_shutdown = ceil(finish_s(self._end()))
        await super().shutdown(sockets)
        event(logging.INFO, "service.ended")
