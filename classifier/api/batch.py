"""A batch: NDJSON in, NDJSON out, order kept; one bad line does not stop the rest.

reader ─▶ lines ─▶ up to `batch_concurrency` tickets side by side ─▶ answers in order
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request
from msgspec import Struct

from classifier.api.answers import answered
from classifier.api.body import chunks, read_ticket
from classifier.api.problems import Problem, problem
from classifier.errors import ClassifierError, TooLarge
from classifier.pipeline import Pipeline, Wish

_encode = msgspec.json.Encoder().encode


class _Line(Struct):
    """A line of the batch, or the fault that ended the reading there."""

    number: int
    data: bytes
    fault: ClassifierError | None = None


class FailedLine(Struct):
    """Stands in the answer where a ticket's line would: which line failed and why."""

    line: int
    error: Problem


async def answer_lines(
    request: Request[Any, Any, Any], pipeline: Pipeline, wish: Wish
) -> AsyncIterator[bytes]:
    """One line out for every non-empty line in.

    The body is read ahead of the answers (bounded by `max_batch_bytes`), so that a client that
    sends everything before it reads anything is not waited for in a circle.
    """
    server = pipeline.assembly.config.server
    lines: asyncio.Queue[_Line | None] = asyncio.Queue()
    side_by_side = asyncio.Semaphore(server.batch_concurrency)
    window: deque[asyncio.Task[bytes]] = deque()

    async def one(line: _Line) -> bytes:
        async with side_by_side:
            return await _answer(line, server.max_body_bytes, pipeline, wish)

    reader = asyncio.create_task(_read_into(lines, request, server.max_batch_bytes))
    try:
        ended = False
        while window or not ended:
            while not ended and _has_room(window, lines, server.batch_concurrency):
                line = await lines.get()
                if line is None:
                    ended = True
                else:
                    window.append(asyncio.create_task(one(line)))
            if window:
                yield await window.popleft()
    finally:
        reader.cancel()
        for task in window:
            task.cancel()


def _has_room(
    window: deque[asyncio.Task[bytes]], lines: asyncio.Queue[_Line | None], concurrency: int
) -> bool:
    """Beyond the tickets under way some wait in line, so that one slow ticket idles nobody."""
    return not window or (len(window) < 4 * concurrency and not lines.empty())


async def _read_into(
    lines: asyncio.Queue[_Line | None], request: Request[Any, Any, Any], max_bytes: int
) -> None:
    number = 0
    try:
        async for data in _lines(request, max_bytes):
            number += 1
            if data.strip():
                lines.put_nowait(_Line(number, data))
    except ClassifierError as error:
        lines.put_nowait(_Line(number + 1, b"", error))
    finally:
        lines.put_nowait(None)


async def _answer(line: _Line, max_bytes: int, pipeline: Pipeline, wish: Wish) -> bytes:
    try:
        if line.fault is not None:
            raise line.fault
        if len(line.data) > max_bytes:
            raise TooLarge(f"the line is larger than {max_bytes} bytes")
        classification = await pipeline.classify(read_ticket(line.data), wish)
    except ClassifierError as error:
        return _encode(FailedLine(line.number, problem(error))) + b"\n"
    return _encode(answered(classification)) + b"\n"


async def _lines(request: Request[Any, Any, Any], max_bytes: int) -> AsyncIterator[bytes]:
    """The body cut at line breaks; the last line may lack one."""
    rest = b""
    async for chunk in chunks(request, max_bytes):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest
