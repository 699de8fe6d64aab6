"""POST /classify/batch: NDJSON in, NDJSON out, in order, streamed, bounded, and never in a circle."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.support.contract import assert_problem
from tests.support.crashing import crashing_service
from tests.support.house import Service, service, write_config
from tests.support.logged import logged
from tests.support.raw import RawConnection, connected
from tests.support.upstream import Call, Scripted, Upstream, completion
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
NDJSON = {"Content-Type": "application/x-ndjson"}
CHUNKED_HEAD = (
    b"POST /classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)


@pytest.fixture(autouse=True)
def _as_new(models: tuple[Upstream, Upstream]) -> None:
    for model in models:
        model.answers(completion("billing"))
        model.delay_s = 0.0


def _line(body: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"body": body, **fields}) + b"\n"


def _configured(folder: Path, models: tuple[Upstream, Upstream], server: str) -> Path:
    """A config over the models with one more line under `[server]`."""
    config = write_config(folder, models[0].url, models[1].url)
    config.write_text(config.read_text().replace("[server]", f"[server]\n{server}"))
    return config


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _batch(
    house: Service, content: bytes | AsyncIterator[bytes], **query: str
) -> list[dict[str, Any]]:
    """Every line of the answer, each held against the contract."""
    answer = await house.client.post(
        "/classify/batch", content=content, headers=NDJSON, params=query
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert answer.text == "" or answer.text.endswith("\n")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    for line in lines:
        house.contract.check_line(line)
    return lines


async def test_order_is_kept_whatever_the_models_do(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """Line n out is ticket n in, although the models answer in any order."""
    rng = random.Random(1)

    async def respond(call: Call) -> Scripted:
        await asyncio.sleep(rng.uniform(0, 0.05))
        return Scripted(completion("login" if "odd" in call.ticket else "billing"))

    models[0].respond = respond
    tickets = [_line(f"{'odd' if n % 2 else 'even'} {n}", id=str(n)) for n in range(300)]
    lines = await _batch(shared_house, b"".join(tickets))
    assert [line["id"] for line in lines] == [str(n) for n in range(300)]
    assert [line["label"] for line in lines] == ["billing", "login"] * 150


async def test_bad_lines_stand_in_their_place(shared_house: Service) -> None:
    """A bad line becomes an error with its number; the others are answered."""
    large = _line("x" * 5_000_000)
    lines = await _batch(
        shared_house,
        b"".join([_line("a", id="a"), b"{\n", _line("b", id="b"), b'{"subject":"x"}\n', large,
                  b'{"body":"\xff"}\n', b"null\n", _line("c", id="c"), b"\x00\n"]),
    )  # fmt: skip
    assert [line.get("id") or line["line"] for line in lines] == ["a", 2, "b", 4, 5, 6, 7, "c", 9]
    errors = {line["line"]: line["error"] for line in lines if "error" in line}
    assert {number: error["status"] for number, error in errors.items()} == {
        2: 400, 4: 422, 5: 413, 6: 400, 7: 422, 9: 400,
    }  # fmt: skip
    assert errors[5]["detail"] == "the line is larger than 262144 bytes"
    assert "missing required field `body`" in errors[4]["detail"]
    assert len({error["request_id"] for error in errors.values()}) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n \r\n\t\n", []),
        (b'{"body":"x","id":"1"}', ["1"]),
        (b'{"body":"x","id":"1"}\r\n{"body":"y","id":"2"}\r\n', ["1", "2"]),
        (b'\n\n{"body":"x","id":"1"}\n\n\n{"body":"y","id":"2"}\n\n', ["1", "2"]),
        (b'{"body":"x","id":"1"}\n\n{\n{"body":"y","id":"2"}', ["1", 3, "2"]),
        (b'{"body":"x\\n\\u2028","id":"1"}\n  {"body":"y","id":"2"}  \n', ["1", "2"]),
    ],
    ids=["nothing", "only_empty", "no_final_break", "crlf", "gaps", "gaps_and_a_fault", "spaces"],
)
async def test_line_breaks_are_taken_as_they_come(
    shared_house: Service, content: bytes, expected: list[str | int]
) -> None:
    """Empty lines are passed over but counted; CRLF and a missing last break are fine."""

    async def byte_by_byte() -> AsyncIterator[bytes]:
        for place in range(len(content)):
            yield content[place : place + 1]

    for body in (content, byte_by_byte()):
        lines = await _batch(shared_house, body)
        assert [line.get("id") or line["line"] for line in lines] == expected


async def test_duplicates_are_paid_once(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """The same text a hundred times in one batch is one call; the others say where they got it."""
    models[0].delay_s = 0.02
    asked = len(models[0].calls)
    lines = await _batch(shared_house, _line("the same in one batch") * 100)
    sources = [line["source"] for line in lines]
    assert len(models[0].calls) == asked + 1
    assert sources.count("model") == 1
    assert set(sources) <= {"model", "coalesced", "cache"}
    assert {line["cost_usd"] for line in lines if line["source"] != "model"} == {"0"}


async def test_wishes_hold_for_every_line(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """`?path=`, `?cache=` and X-Timeout-Ms mean each ticket of the batch."""
    assert [x["path"] for x in await _batch(shared_house, _line("a") * 2, path="long")] == [
        "long", "long",
    ]  # fmt: skip
    sources = [x["source"] for x in await _batch(shared_house, _line("a") * 3, cache="off")]
    assert sources == ["model"] * 3
    models[0].delay_s = models[1].delay_s = 0.5
    answer = await shared_house.client.post(
        "/classify/batch",
        content=_line("too slow") + _line("a"),
        headers={**NDJSON, "X-Timeout-Ms": "50"},
        params={"path": "long"},
    )
    late, cached = map(json.loads, answer.text.splitlines())
    assert (late["line"], late["error"]["status"]) == (1, 504)
    assert cached["source"] == "cache"


@pytest.mark.parametrize(
    ("media_type", "status"),
    [("application/x-ndjson", 200), ("application/ndjson; charset=utf-8", 200),
     ("application/jsonl", 200), ("application/json", 415), ("text/plain", 415), ("", 415)],
)  # fmt: skip
async def test_only_ndjson_is_a_batch(shared_house: Service, media_type: str, status: int) -> None:
    """One JSON array is not a batch, and says what to send instead."""
    headers = {"Content-Type": media_type}
    answer = await shared_house.client.post("/classify/batch", content=_line("x"), headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert_problem(answer, 415, "wrong-media-type", "send Content-Type: application/x-ndjson")


async def test_too_large_batch_ends_with_an_error(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """A batch that grows beyond the limit is answered up to there, and the last line says why."""
    config = _configured(tmp_path, models, "max_batch_bytes = 20_000")
    line = _line("x" * 87)
    assert len(line) == 99

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield line

    async with service(config) as house:
        lines = await _batch(house, endless())
        assert [x["source"] for x in lines[:-1]].count("model") == 1
        assert 0 < len(lines) - 1 <= 202
        assert lines[-1]["line"] == len(lines)
        assert lines[-1]["error"]["status"] == 413
        assert "larger than 20000 bytes; send less" in lines[-1]["error"]["detail"]
        asked = len(models[0].calls)
        announced = await house.client.post(
            "/classify/batch", content=_line("never asked") * 1_000, headers=NDJSON
        )
        assert_problem(announced, 413, "too-large", "20000 bytes")
        assert len(models[0].calls) == asked


async def test_answers_come_while_lines_are_sent(shared_house: Service) -> None:
    """The first answer is there before the second ticket is sent."""
    async with connected(shared_house.port) as connection:
        await connection.send(CHUNKED_HEAD + _chunk(_line("first", id="1")))
        while b'"id":"1"' not in (line := await connection.line()):
            assert line
        await connection.send(_chunk(_line("second", id="2")) + b"0\r\n\r\n")
        assert b'"id":"2"' in await connection.rest()


async def test_slow_ticket_idles_nobody(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """Tickets that arrive behind a slow one are asked at once, not after it."""
    release = asyncio.Event()

    async def respond(call: Call) -> Scripted:
        if "slow" in call.ticket:
            await release.wait()
        return Scripted(completion("billing"))

    models[0].respond = respond
    asked = len(models[0].calls)
    async with connected(shared_house.port) as connection:
        await connection.send(CHUNKED_HEAD + _chunk(_line("slow and first")))
        await eventually(lambda: len(models[0].calls) == asked + 1)
        for n in range(5):
            await connection.send(_chunk(_line(f"quick {n}")))
        await eventually(lambda: len(models[0].calls) == asked + 6, within_s=0.8)
        release.set()
        await connection.send(b"0\r\n\r\n")
        assert (await connection.rest()).count(b'"source":"model"') == 6


async def test_no_more_side_by_side_than_configured(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """`batch_concurrency` tickets are under way at once, and never one more."""
    open_calls, most = 0, 0

    async def respond(call: Call) -> Scripted:
        nonlocal open_calls, most
        open_calls += 1
        most = max(most, open_calls)
        await asyncio.sleep(0.01)
        open_calls -= 1
        return Scripted(completion("billing"))

    models[0].respond = respond
    config = _configured(tmp_path, models, "batch_concurrency = 3")
    async with service(config) as house:
        lines = await _batch(house, b"".join(_line(f"ticket {n}") for n in range(60)))
    assert len(lines) == 60
    assert most == 3


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


async def _send_in_halves(
    connection: RawConnection, lines: list[bytes], first_answer: asyncio.Event
) -> None:
    """The second half of a batch follows when something of the first one has been answered."""
    await connection.send(CHUNKED_HEAD)
    for start in range(0, len(lines), 500):
        if start == len(lines) // 2:
            await first_answer.wait()
        await connection.send(_chunk(b"".join(lines[start : start + 500])))
    await connection.send(b"0\r\n\r\n")


async def test_20000_lines_are_streamed_in_bounded_memory(shared_house: Service) -> None:
    """A large batch costs its own bytes and a window of tickets, not one task a line."""
    lines = [_line(f"text {n % 40} " + "x" * 300, id=str(n)) for n in range(20_000)]
    first_answer = asyncio.Event()
    before = most = _resident_bytes()
    seen = 0
    async with connected(shared_house.port) as connection, asyncio.TaskGroup() as side:
        side.create_task(_send_in_halves(connection, lines, first_answer))
        while seen < len(lines):
            line = await connection.line(20)
            if line.startswith(b'{"id":'):  # the others frame the chunks
                assert line.startswith(b'{"id":"%d"' % seen)
                first_answer.set()
                seen += 1
                most = max(most, _resident_bytes()) if seen % 500 == 0 else most
    assert most - before < 28_000_000  # 10 MB on 2026-11-23; with a task a line it was 45 MB


async def test_client_that_reads_last_is_not_deadlocked(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """5,000 lines sent whole before the first byte is read: no waiting in a circle."""
    # More than what the sockets' own buffers hold: 45 MB of lines (33 MB), 7 MB of answers (4 MB).
    face = "\U0001f600"
    body = b"".join(_line(f"text {n % 40} " + "x" * 8_000, id=face * 256) for n in range(5_000))
    head = CHUNKED_HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(body))
    config = _configured(tmp_path, models, "max_batch_bytes = 100_000_000")
    received = bytearray()
    loop = asyncio.get_running_loop()
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        plain.setblocking(False)  # noqa: FBT003 -- the socket module's way
        async with service(config) as house, asyncio.timeout(20):
            await loop.sock_connect(plain, ("127.0.0.1", house.port))
            await loop.sock_sendall(plain, head + body)
            while data := await loop.sock_recv(plain, 65_536):
                received += data
    assert received.count(b'"label":"billing"') == 5_000


@pytest.mark.parametrize("whole", [True, False], ids=["after_the_body", "in_the_body"])
async def test_hanging_up_stops_the_work(
    shared_house: Service, models: tuple[Upstream, Upstream], *, whole: bool
) -> None:
    """A client that leaves is not worked for: what is under way ends, nothing new is asked."""
    models[0].delay_s = 0.02
    asked = len(models[0].calls)
    async with connected(shared_house.port) as connection:
        lines = b"".join(_line(f"nobody waits {whole} {n}") for n in range(3_000))
        await connection.send(CHUNKED_HEAD + _chunk(lines) + (b"0\r\n\r\n" if whole else b""))
        while b'"id"' not in (line := await connection.line()):
            assert line
        connection.hang_up()

    async def at_rest() -> bool:
        return await shared_house.metric("classifier_tickets_in_flight") == 0

    await eventually(at_rest)
    assert len(models[0].calls) - asked < 300
    assert await shared_house.metric("classifier_http_requests_total", status="5xx") == 0


async def test_bug_in_one_line_costs_one_line(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """Even an error that nobody expected stands in its line, as an internal problem."""
    config = write_config(tmp_path, models[0].url, models[1].url)
    body = _line("a", id="1") + _line("crash here") + _line("b", id="3")
    with logged() as log:
        async with crashing_service(config) as client:
            answer = await client.post("/classify/batch", content=body, headers=NDJSON)
    first, second, third = map(json.loads, answer.text.splitlines())
    assert (first["id"], third["id"]) == ("1", "3")
    assert (second["line"], second["error"]["status"]) == (2, 500)
    assert second["error"]["detail"] == "an unexpected error; report the request id"
    assert second["error"]["request_id"] == answer.headers["x-request-id"]
    assert "request.crashed" in log.getvalue()


async def test_every_line_is_logged_once(shared_house: Service) -> None:
    """One event a ticket, of a batch too, all under the batch's request id."""
    with logged() as log:
        body = _line("logged 1") + b"{\n" + _line("logged 2")
        await _batch(shared_house, body)
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    names = sorted(event["event"] for event in events)
    assert names == ["ticket.classified", "ticket.classified", "ticket.failed"]
    assert len({event["request_id"] for event in events}) == 1


async def test_batches_side_by_side_are_kept_apart(shared_house: Service) -> None:
    """Ten batches at once each get their own answers."""

    async def one(name: str) -> list[dict[str, Any]]:
        return await _batch(
            shared_house, b"".join(_line(f"text {n}", id=f"{name}-{n}") for n in range(50))
        )

    for name, lines in zip(
        "abcdefghij", await asyncio.gather(*map(one, "abcdefghij")), strict=True
    ):
        assert [line["id"] for line in lines] == [f"{name}-{n}" for n in range(50)]


async def test_httpx_can_stream_both_ways(shared_house: Service) -> None:
    """An ordinary client library can send and read line by line."""

    async def content() -> AsyncIterator[bytes]:
        for n in range(20):
            yield _line(f"text {n}", id=str(n))

    async with (
        httpx2.AsyncClient(base_url=shared_house.url) as client,
        client.stream("POST", "/classify/batch", content=content(), headers=NDJSON) as answer,
    ):
        ids = [json.loads(line)["id"] async for line in answer.aiter_lines()]
    assert ids == [str(n) for n in range(20)]
