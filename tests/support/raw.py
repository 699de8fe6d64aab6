"""HTTP by hand over a socket: for bytes that no client library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httptools


class RawAnswer:
    """One response as its bytes said it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class RawConnection:
    """One TCP connection. Every read has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, timeout_s: float = 5.0) -> RawAnswer:
        """The next response. One that never began has status 0: the server hung up."""
        found = RawAnswer()
        async with asyncio.timeout(timeout_s):
            while not found.complete and (data := await self._reader.read(65_536)):
                found.feed(data)
        return found

    async def rest(self, timeout_s: float = 5.0) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(timeout_s):
            return await self._reader.read()

    async def line(self, timeout_s: float = 5.0) -> bytes:
        async with asyncio.timeout(timeout_s):
            return await self._reader.readline()

    def hang_up(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawConnection]:
    """A connection to a port of this machine, closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()


async def exchange(port: int, data: bytes, timeout_s: float = 5.0) -> RawAnswer:
    """Sends bytes over a connection of their own and reads one response."""
    async with connected(port) as connection:
        await connection.send(data)
        return await connection.answer(timeout_s)


def request(
    target: str, body: bytes, *headers: bytes, length: int | None = None, method: str = "POST"
) -> bytes:
    """A request's bytes; `length` is what Content-Length claims."""
    announced = b"Content-Length: %d" % (len(body) if length is None else length)
    head = [f"{method} {target} HTTP/1.1".encode(), b"Host: x", announced, *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
