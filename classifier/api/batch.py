"""A batch: NDJSON in, NDJSON out, order kept; one bad line does not stop the rest.

reader ─▶ lines ─▶ up to `batch_concurrency` tickets side by side ─▶ answers in order

A busy service makes a batch slow, not wrong: its lines wait for their turn. What ends one early is
a client that neither sends nor reads for `batch_idle_s`, the whole batch's `batch_timeout_s`, and
the end of the process: lines without an answer then say so, and the answer is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, cast

import msgspec
from litestar import Request
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send
from msgspec import Struct

from classifier.api.answers import answered
from classifier.api.body import chunks, read_ticket
from classifier.api.context import request_id
from classifier.api.problems import Problem, crashed, failed
from classifier.errors import ClassifierError, Ending, Malformed, OutOfTime, TooLarge
from classifier.logs import ticket_classified
from classifier.pipeline import Pipeline, Wish

MEDIA_TYPE = "application/x-ndjson"
# Beyond the tickets under way some wait in line, so that one slow ticket idles nobody.
_LINES_PER_TICKET_UNDER_WAY = 4
_encode = msgspec.json.Encoder().encode


class FailedLine(Struct):
    """Stands in the answer where a ticket's line would: which line failed and why."""

    line: int
    error: Problem


class _Line(Struct):
    """A line of the batch, or why there is none."""

    number: int
    data: bytes | ClassifierError


class _HungUp(Exception):
    """The client is gone: nobody reads the answers, so no more are asked for."""


_Lines = asyncio.Queue[_Line | None]
_Answers = asyncio.Queue[asyncio.Task[bytes] | None]


class BatchAnswer(ASGIResponse):
    """One line out for every non-empty line in, written while the body is still being read.

    The body is read ahead of the answers (bounded by `max_batch_bytes`), so that a client that
    sends everything before it reads anything is not waited for in a circle. The framework's own
    streaming response is no use here: it listens for the hang-up itself, and swallows the body.
    """

    _should_set_content_length = False

    def __init__(
        self, request: Request[Any, Any, Any], pipeline: Pipeline, wish: Wish, *, log_tickets: bool
    ) -> None:
        super().__init__(status_code=200, media_type=MEDIA_TYPE)
        self._request = request
        self._request_id = request_id(request.scope)
        self._pipeline = pipeline
        self._wish = wish
        self._log_tickets = log_tickets
        self._server = pipeline.assembly.config.server
        self._limits = pipeline.assembly.config.overload
        self._ends = perf_counter() + self._limits.batch_timeout_s
        self._side_by_side = asyncio.Semaphore(self._server.batch_concurrency)
        self._working: set[asyncio.Task[Any]] = set()

    async def send_body(self, send: Send, receive: Receive) -> None:
        lines: _Lines = asyncio.Queue()
        under_way = _LINES_PER_TICKET_UNDER_WAY * self._server.batch_concurrency
        answers: _Answers = asyncio.Queue(under_way)
        try:
            with self._pipeline.admission.batch():
                async with asyncio.TaskGroup() as work:
                    reader = work.create_task(self._read(lines, receive))
                    work.create_task(self._start(lines, answers, work))
                    ender = work.create_task(self._end())
                    while (answer := await answers.get()) is not None:
                        await self._send(send, await answer)
                    await self._send(send, None)
                    reader.cancel()
                    ender.cancel()
        except* _HungUp:
            pass

    async def _read(self, lines: _Lines, receive: Receive) -> None:
        number = 0
        try:
            with self._until_the_end():
                async for data in self._cut():
                    number += 1
                    if number > self._server.max_batch_lines:
                        most = self._server.max_batch_lines
                        raise TooLarge(f"the batch has more than {most} lines")
                    if isinstance(data, ClassifierError) or data.strip():
                        lines.put_nowait(_Line(number, data))
        except ClassifierError as error:
            lines.put_nowait(_Line(number + 1, error))
        lines.put_nowait(None)
        while (await receive())["type"] != "http.disconnect":
            pass  # what is left of a body that is too large
        raise _HungUp

    async def _cut(self) -> AsyncIterator[bytes | ClassifierError]:
        cutter = _Cutter(self._server.max_body_bytes)
        body = chunks(self._request, self._server.max_batch_bytes)
        while (chunk := await self._next(body)) is not None:
            for line in cutter.feed(chunk):
                yield line
        yield cutter.rest()

    async def _next(self, body: AsyncIterator[bytes]) -> bytes | None:
        """The body's next chunk. Raises Malformed when none comes for too long."""
        idle_s = self._limits.batch_idle_s
        try:
            async with asyncio.timeout(idle_s):
                return await anext(body, None)
        except TimeoutError:
            raise Malformed(f"the body stood still for {idle_s:g} s: nothing is read on") from None

    async def _start(self, lines: _Lines, answers: _Answers, work: asyncio.TaskGroup) -> None:
        while (line := await lines.get()) is not None:
            await answers.put(work.create_task(self._answer(line)))
        await answers.put(None)

    async def _answer(self, line: _Line) -> bytes:
        """Never an exception: what went wrong stands in the line."""
        try:
            with self._until_the_end():
                async with self._side_by_side:
                    return _encode(await self._classify(line.data)) + b"\n"
        except ClassifierError as error:
            problem = failed(error, self._request_id)
        except Exception as error:  # noqa: BLE001 -- a bug of ours must not cost the other lines
            problem = crashed(error, self._request_id)
        return _encode(FailedLine(line.number, problem)) + b"\n"

    async def _end(self) -> None:
        await self._pipeline.ending.wait()
        for task in self._working:
            task.cancel()

    @contextmanager
    def _until_the_end(self) -> Iterator[None]:
        """Raises Ending when the process ends first."""
        ending = self._pipeline.ending
        error = Ending("the service is ending; send this line and what follows again")
        if ending.is_set():
            raise error
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._working.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not ending.is_set():
                raise
            raise error from None
        finally:
            self._working.discard(task)

    async def _send(self, send: Send, line: bytes | None) -> None:
        """One line of the answer; None ends it. Raises _HungUp for a client that stopped reading."""
        try:
            async with asyncio.timeout(self._limits.batch_idle_s):
                await send(
                    {
                        "type": "http.response.body",
                        "body": line or b"",
                        "more_body": line is not None,
                    }
                )
        except TimeoutError:
            raise _HungUp from None

    async def _classify(self, data: bytes | ClassifierError) -> Any:
        if isinstance(data, ClassifierError):
            raise data
        if perf_counter() > self._ends:
            limit_s = self._limits.batch_timeout_s
            raise OutOfTime(f"the batch took longer than {limit_s:g} s; send the rest again")
        classification = await self._pipeline.classify(read_ticket(data), self._wish)
        if self._log_tickets:
            ticket_classified(classification, self._request_id)
        return answered(classification)


class _Cutter:
    """Cuts chunks at line breaks. A line that is too large is dropped as it comes, not gathered."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | ClassifierError]:
        *ended, begun = chunk.split(b"\n")
        for part in ended:
            self._hold(part)
            yield self.rest()
        self._hold(begun)

    def rest(self) -> bytes | ClassifierError:
        """The line that ends here; the body's last one may lack its line break."""
        line = bytes(self._held)
        is_whole = self._size == len(line)
        self._held.clear()
        self._size = 0
        return line if is_whole else TooLarge(f"the line is larger than {self._max_bytes} bytes")

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._max_bytes:
            self._held += part
