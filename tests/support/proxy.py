"""A TCP proxy that breaks on command: between the service and Redis, or a model."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Mode = Literal["pass", "delay", "blackhole", "reset", "refuse", "cut"]


class FaultProxy:
    """Forwards a port. `mode` holds for bytes that flow from now on, also on open connections.

    delay: `delay_s` before every answer. blackhole: takes bytes, gives none. reset: RST at the
    first byte. refuse: no listener at all. cut: half of the next answer, then the end.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.mode: Mode = "pass"
        self.delay_s = 0.0
        self.connections = 0
        self._times: int | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    async def set(self, mode: Mode, *, times: int | None = None) -> None:
        """`times`: after so many resets or cuts everything passes again."""
        self.mode = mode
        self._times = times
        if mode == "refuse":
            await self._close()
        elif self._server is None:
            await self.open()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def aclose(self) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # also when it never began

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            there = await asyncio.open_connection("127.0.0.1", self.target_port)
            try:
                await asyncio.gather(
                    self._pump(reader, there[1], writer, answers=False),
                    self._pump(there[0], writer, there[1], answers=True),
                )
            finally:
                there[1].close()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        try:
            while data := await source.read(65_536):
                if self.mode == "reset":
                    self._struck()
                    _reset(other if not answers else sink)
                    break
                if self.mode == "blackhole":
                    continue
                if answers and self.mode == "delay":
                    await asyncio.sleep(self.delay_s)
                if answers and self.mode == "cut":
                    self._struck()
                    sink.write(data[: len(data) // 2])
                    break
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            for writer in (sink, other):
                writer.close()

    def _struck(self) -> None:
        if self._times is not None:
            self._times -= 1
            if self._times == 0:
                self.mode = "pass"


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST instead of FIN: SO_LINGER with zero seconds."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def proxied(target_port: int) -> AsyncIterator[FaultProxy]:
    """A proxy in front of a port, open until the block ends."""
    proxy = FaultProxy(target_port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.aclose()
