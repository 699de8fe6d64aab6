"""The server's edge: what a client may take of it before it has sent a request, and how it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from classifier.config.edge import Connections
from classifier.edge.census import Census, CutReason
from classifier.edge.protocol import EdgeProtocol
from tests.support.contract import assert_problem_body
from tests.support.house import Service, service, write_config
from tests.support.raw import RawAnswer, RawConnection, connected, exchange, request
from tests.support.redis_server import free_port
from tests.support.upstream import Upstream, served
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
TICKET = b'{"body":"x"}'
JSON_LINE = b"Content-Type: application/json"
WHOLE = request("/classify", TICKET, JSON_LINE)
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = """
[connections]
receive_timeout_s = 0.4
keepalive_s = 1.0
most = 8
max_head_bytes = 4096
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(
    models: tuple[Upstream, Upstream], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """The service with small limits: 0.4 s, 8 connections, 4 KiB of headers."""
    folder = tmp_path_factory.mktemp("edge")
    async with service(write_config(folder, models[0].url, models[1].url, LIMITS)) as running:
        yield running


async def _cut(edge: Service, reason: str) -> float:
    return await edge.metric("classifier_connections_cut_total", reason=reason)


async def _nobody_left(edge: Service) -> bool:
    return await edge.metric("classifier_connections") <= 1  # the one that asks


def _refused(answer: RawAnswer, status: int, slug: str, *words: str) -> None:
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/problem+json"
    assert_problem_body(answer.body, status, slug, *words)


SLOW = {
    "request_line": (b"POST /class", "slow_head"),
    "headers": (b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Le", "slow_head"),
    "body": (request("/classify", TICKET[:4], JSON_LINE, length=12), "slow_body"),
    "chunks": (
        b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        + JSON_LINE
        + b"\r\n\r\n5\r\n{",
        "slow_body",
    ),
}


@pytest.mark.parametrize(("begun", "reason"), SLOW.values(), ids=SLOW)
async def test_request_that_does_not_arrive_is_cut(
    edge: Service, begun: bytes, reason: str
) -> None:
    """A request that stays incomplete is a 408, however often a byte comes; then the line is closed."""
    before = await _cut(edge, reason)
    async with connected(edge.port) as connection:
        await connection.send(begun)
        for _ in range(3):
            await asyncio.sleep(0.05)
            await connection.send(b" " if reason == "slow_body" else b"x")
        answer = await connection.answer()
        assert await connection.rest() == b""
    _refused(answer, 408, "too-slow", "not complete after 0 s")
    assert await _cut(edge, reason) == before + 1


async def test_silent_connection_is_closed_without_a_word(edge: Service) -> None:
    """Who connects and sends nothing asked for nothing: no answer that a later request could take."""
    before = await _cut(edge, "silent")
    async with connected(edge.port) as connection:
        assert await connection.rest(2.0) == b""
    assert await _cut(edge, "silent") == before + 1


async def test_line_breaks_do_not_keep_a_connection(edge: Service) -> None:
    """Empty lines between requests are allowed, but they are no request: the clock goes on."""
    async with connected(edge.port) as connection:
        await connection.send(GET)
        assert (await connection.answer()).status == 200
        ended = asyncio.ensure_future(connection.rest(3.0))
        for _ in range(30):
            if ended.done():
                break
            with suppress(ConnectionError):
                await connection.send(b"\r\n")
            await asyncio.sleep(0.05)
        assert ended.done()
        await asyncio.gather(ended, return_exceptions=True)


async def test_body_that_keeps_coming_is_waited_for(edge: Service) -> None:
    """A large body over a slow line is no attack: every 4 KiB are worth a second more."""
    body = TICKET + b" " * 16_000
    async with connected(edge.port) as connection:
        await connection.send(request("/classify", b"", JSON_LINE, length=len(body)))
        for start in range(0, len(body), 4_000):
            await connection.send(body[start : start + 4_000])
            await asyncio.sleep(0.2)
        assert (await connection.answer()).status == 200


async def test_refused_body_is_not_swallowed_for_ever(edge: Service) -> None:
    """After an early answer the rest of the body is read only for the receipt's time."""
    async with connected(edge.port) as connection:
        await connection.send(request("/nope", b"", JSON_LINE, length=1_000_000))
        assert (await connection.answer()).status in (404, 405)
        ended = asyncio.ensure_future(connection.rest(3.0))
        for _ in range(40):
            if ended.done():
                break
            with suppress(ConnectionError):
                await connection.send(b" " * 4_096)
            await asyncio.sleep(0.05)
        assert ended.done()
        await asyncio.gather(ended, return_exceptions=True)


async def test_idle_connection_is_closed(edge: Service) -> None:
    """A kept connection without a request is closed after `keepalive_s`."""
    before = await _cut(edge, "idle")
    async with connected(edge.port) as connection:
        await connection.send(GET)
        assert (await connection.answer()).status == 200
        assert await connection.rest(4.0) == b""
    assert await _cut(edge, "idle") > before


async def test_longest_idle_connection_makes_room(edge: Service) -> None:
    """The ninth of eight gets its place from whoever has idled the longest; nobody is refused."""
    await eventually(lambda: _nobody_left(edge))
    async with AsyncExitStack() as stack:
        held = [await _opened(edge, stack) for _ in range(7)]  # and the client of the metrics
        for each in held:
            await each.send(GET)
            assert (await each.answer()).status == 200
            await asyncio.sleep(0.01)
        await edge.client.get("/healthz")
        newcomer = await _opened(edge, stack)
        await newcomer.send(WHOLE)
        assert (await newcomer.answer()).status == 200
        assert await held[0].rest(0.5) == b""
        await held[-1].send(GET)
        assert (await held[-1].answer()).status == 200


async def test_dawdlers_go_before_those_who_were_answered(edge: Service) -> None:
    """A crowd of beginnings pushes itself out, not the connections that work."""
    await eventually(lambda: _nobody_left(edge))
    async with AsyncExitStack() as stack:
        worker = await _opened(edge, stack)
        for _ in range(30):
            await worker.send(WHOLE)
            assert (await worker.answer()).status == 200
            begun = await _opened(edge, stack)
            await begun.send(b"POST /classify HTTP/1.1\r\nX: ")
        assert await _cut(edge, "crowded") >= 20


async def test_full_house_says_so(edge: Service, models: tuple[Upstream, Upstream]) -> None:
    """When every connection is being answered the next one is a 503 that says when to come back."""
    await eventually(lambda: _nobody_left(edge))
    models[0].delay_s = 0.5
    asked = len(models[0].calls)
    async with AsyncExitStack() as stack:
        stack.callback(setattr, models[0], "delay_s", 0.0)
        held = []
        for number in range(8):
            held.append(await _opened(edge, stack))
            await held[-1].send(request("/classify", b'{"body":"%d"}' % number, JSON_LINE))
        await eventually(lambda: len(models[0].calls) == asked + 8)
        turned_away = await exchange(edge.port, WHOLE)
        answers = await asyncio.gather(*(each.answer() for each in held))
    _refused(turned_away, 503, "overcrowded", "try again")
    assert turned_away.headers["retry-after"] == "1"
    assert {answer.status for answer in answers} == {200}
    assert await _cut(edge, "refused") >= 1


HEADS = {
    "one_long_header": b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 5_000 + b"\r\n\r\n",
    "many_headers": b"GET /healthz HTTP/1.1\r\n" + b"X: 1\r\n" * 900 + b"\r\n",
    "long_target": b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "never_ending_header": b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000,
    "trailers": b"POST /classify HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    + JSON_LINE
    + b"\r\n\r\n1\r\n{\r\n0\r\n"
    + b"X: 1\r\n" * 900,
    "chunk_extension": b"POST /classify HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    + JSON_LINE
    + b"\r\n\r\n1;"
    + b"x" * 200_000,
}


@pytest.mark.parametrize("data", HEADS.values(), ids=HEADS)
async def test_large_head_is_refused(edge: Service, data: bytes) -> None:
    """What is no body is bounded: a 431, also when it never ends or stands around the chunks."""
    async with connected(edge.port) as connection:
        for start in range(0, len(data), 3_000):
            await connection.send(data[start : start + 3_000])
            await asyncio.sleep(0)
        _refused(await connection.answer(), 431, "head-too-large", "larger than 4096 bytes")


async def test_smallest_chunks_are_a_body(edge: Service) -> None:
    """Chunks of one byte each, six bytes on the wire, are legal however many there are."""
    body = TICKET + b" " * 3_000
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + JSON_LINE
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    async with connected(edge.port) as connection:
        await connection.send(head + b"\r\n\r\n")
        for start in range(0, len(chunks), 1_000):
            await connection.send(chunks[start : start + 1_000])
        await connection.send(b"0\r\n\r\n")
        assert (await connection.answer()).status == 200


async def test_garbage_never_overtakes_an_answer(
    edge: Service, models: tuple[Upstream, Upstream]
) -> None:
    """Bytes that are no HTTP behind a request: the request is answered, with its own answer."""
    models[0].delay_s = 0.1
    try:
        async with connected(edge.port) as connection:
            await connection.send(request("/classify", b'{"body":"overtake"}', JSON_LINE))
            await connection.send(b"\x00\x01\x02garbage\r\n\r\n")
            answer = await connection.answer()
            assert await connection.rest() == b""
    finally:
        models[0].delay_s = 0.0
    assert (answer.status, json.loads(answer.body)["label"]) == (200, "billing")
    assert answer.headers["connection"] == "close"


async def test_requests_in_one_packet_are_answered_in_order(edge: Service) -> None:
    """Pipelined requests get their answers one after another; thousands of them are not gathered."""
    async with connected(edge.port) as connection:
        await connection.send(GET * 20 + WHOLE)
        answers = (await _until_closed(connection)).split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"200"] * 21
        assert b"billing" in answers[-1]
    async with connected(edge.port) as connection:
        await connection.send(GET * 5_000)
        answered = (await _until_closed(connection)).count(b"HTTP/1.1 200")
        assert 10 <= answered <= 100


async def test_trailers_are_no_headers(edge: Service) -> None:
    """What comes behind a chunked body neither opens a door nor sets a deadline; its size counts."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + JSON_LINE
    body = b"\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(TICKET), TICKET)
    trailers = b"X-Timeout-Ms: no number\r\nX-Request-Id: trailing\r\n"
    for parts in ([head + body + trailers + b"\r\n"], [head + body, trailers + b"\r\n"]):
        async with connected(edge.port) as connection:
            for part in parts:
                await connection.send(part)
                await asyncio.sleep(0.02)
            answer = await connection.answer()
        assert answer.status == 200, answer.body
        assert answer.headers["x-request-id"] != "trailing"
    large = head + body + b"X-Large: " + b"x" * 8_000 + b"\r\n\r\n"
    assert (await exchange(edge.port, large)).status == 431


@pytest.mark.parametrize("options", [b"close, upgrade", b"Upgrade,HTTP2-Settings , Close"])
async def test_offered_upgrade_keeps_the_rest_of_connection(edge: Service, options: bytes) -> None:
    """A client that offers an upgrade and wants the line closed gets its answer, and the end."""
    headers = (JSON_LINE, b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", b"Connection: " + options)
    async with connected(edge.port) as connection:
        await connection.send(request("/classify", TICKET, *headers))
        answer = await connection.answer()
        assert (answer.status, answer.headers.get("connection")) == (200, "close")
        assert await connection.rest() == b""


async def test_http_1_0_is_answered_without_chunks(edge: Service) -> None:
    """An old client reads a batch's lines as they are, until the connection ends."""
    ndjson = b"Content-Type: application/x-ndjson"
    for target, body in (("/classify/batch", TICKET + b"\n" + TICKET), ("/classify", TICKET)):
        data = request(target, body, ndjson if "batch" in target else JSON_LINE)
        async with connected(edge.port) as connection:
            await connection.send(data.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            head, _, answered = (await connection.rest()).partition(b"\r\n\r\n")
        assert b" 200 " in head
        assert b"transfer-encoding" not in head.lower()
        found = [json.loads(line)["label"] for line in answered.splitlines()]
        assert found == ["billing"] * (1 + target.endswith("batch"))


async def test_connect_is_refused(edge: Service) -> None:
    """The service is nobody's proxy, and bytes behind a CONNECT are no request."""
    data = b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n" + GET
    _refused(await exchange(edge.port, data), 400, "malformed", "no proxy")


class _Noted:
    """Hears what the census tells, and keeps it."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def connected(self, now_open: int, most: int) -> None: ...

    def draining(self, *, draining: bool) -> None: ...

    def cut(self, reason: CutReason) -> None:
        self.reasons.append(reason)


async def _long(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1_000):
            await send({"type": "http.response.body", "body": b"x" * 16_384, "more_body": True})


async def test_unread_answers_are_not_kept_for_ever() -> None:
    """A client that asks and does not read is cut off when its answers have waited too long."""
    noted, port = _Noted(), free_port()
    census = Census(Connections(keepalive_s=1.0), noted)
    protocol = partial(EdgeProtocol, census=census)
    async with served(_long, port, http=protocol, ws="none"), connected(port) as connection:
        await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: noted.reasons == ["slow_reader"], within_s=8.0)
        await eventually(lambda: len(census) == 0)


async def _endless(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await asyncio.Event().wait()


async def test_request_that_outlasts_the_end_is_told() -> None:
    """What the end cancels is answered as a problem, with the caller's id, and not as a bare 500."""
    census = Census(Connections(), _Noted())
    protocol, port = partial(EdgeProtocol, census=census), free_port()
    async with (
        served(_endless, port, http=protocol, ws="none") as server,
        connected(port) as connection,
    ):
        await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n")
        await eventually(lambda: len(server.server_state.tasks) == 1)
        for task in server.server_state.tasks:
            task.cancel()
        answer = await connection.answer()
        assert await connection.rest() == b""
    _refused(answer, 503, "ending", "send it again")
    assert answer.headers["x-request-id"] == "mine"


async def _opened(edge: Service, stack: AsyncExitStack) -> RawConnection:
    return await stack.enter_async_context(connected(edge.port))


async def _until_closed(connection: RawConnection) -> bytes:
    """All that comes, until the server closes the idle connection."""
    return await connection.rest(8.0)
