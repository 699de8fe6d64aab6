"""The way to a model server: TLS always verified, no proxy by surprise, no answer without an end."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import httpx2

from classifier.errors import ConfigError

MAX_REPLY_BYTES = 1_048_576
_GZIP_OR_ZLIB = 47  # zlib's number for: whichever of the two the first bytes say
_INFLATED = ("gzip", "x-gzip", "deflate")


class CappedTransport(httpx2.AsyncHTTPTransport):
    """Promise: a response's body ends after `MAX_REPLY_BYTES`, counted compressed and unpacked.

    The client would unpack first and count later: 1 MB of gzip can be 1 GB of zeros.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 -- of an async client
        kept = [
            (name, value)
            for name, value in response.headers.raw
            if name.lower() not in (b"content-encoding", b"content-length")
        ]
        return httpx2.Response(
            response.status_code,
            headers=kept,
            stream=_Capped(response.stream, encoding),
            extensions=response.extensions,
        )


class _Capped(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpack = _Unpacking(self._encoding)
        received = 0
        async for chunk in self._stream:
            received += len(chunk)
            if received > MAX_REPLY_BYTES:
                raise httpx2.DecodingError("the answer is too long")
            yield unpack(chunk)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Unpacking:
    """Never makes more than `MAX_REPLY_BYTES` out of all that it is given."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("identity", "", *_INFLATED):
            raise httpx2.DecodingError("an encoding that nobody asked for")
        self._left = MAX_REPLY_BYTES
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding in _INFLATED else None

    def __call__(self, chunk: bytes) -> bytes:
        if self._inflate is None:
            return chunk
        try:
            data = self._inflate.decompress(chunk, self._left + 1)
        except zlib.error as error:
            raise httpx2.DecodingError("not what its Content-Encoding says") from error
        self._left -= len(data)
        if self._left < 0:
            raise httpx2.DecodingError("the answer unpacks to too much")
        return data


@cache
def system_trust() -> ssl.SSLContext:
    """The system's certificates, read once a process: 50 ms in which no ticket moves (2026-11)."""
    return httpx2.create_ssl_context()


def own_trust(where: str, ca_file: Path) -> ssl.SSLContext:
    """Only the authorities of a file. Raises ConfigError for one that holds none."""
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        reason = type(error).__name__
        raise ConfigError(f"{where}: ca_file {ca_file} holds no certificate: {reason}") from None
