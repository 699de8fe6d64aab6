"""One model server behind the SDK: every way in which it can fail, from real responses."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.errors import AttemptFailed, FailureKind
from classifier.paths.endpoint import OpenAIEndpoint, translate
from classifier.paths.transport import MAX_REPLY_BYTES
from tests.support.parts import chat, endpoint, path
from tests.support.proxy import FaultProxy, proxied
from tests.support.redis_server import free_port
from tests.support.upstream import Scripted, Upstream, completion

BODY = chat().encode("charged twice")


async def _failure(server: OpenAIEndpoint, timeout_s: float = 5.0) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as failed:
        await server.post("/chat/completions", BODY, timeout_s)
    return failed.value


def _error(message: str = "", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None} | fields}


# ---------------------------------------------------------------------------- refused by status


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, _error("unknown parameter"), "refused"),
        (401, _error("incorrect API key"), "unauthorised"),
        (403, _error("not your region"), "unauthorised"),
        (404, _error("gone", code="model_not_found"), "model_gone"),
        (408, _error("too slow"), "timeout"),
        (409, _error("conflict"), "server_error"),
        (413, _error("too long"), "refused"),
        (418, b"short and stout", "server_error"),
        (422, _error("unreadable"), "refused"),
        (429, _error("slow down", code="rate_limit_exceeded", type="tokens"), "rate_limited"),
        (429, _error("we are overloaded"), "rate_limited"),
        (429, b"<html>Too Many Requests</html>", "rate_limited"),
        (429, _error("pay", code="insufficient_quota"), "quota"),
        (429, _error("pay", type="insufficient_quota"), "quota"),
        (429, _error("That model is still being loaded. Please try again shortly."), "loading"),
        (429, _error("model still loading"), "loading"),
        (500, _error("oops"), "server_error"),
        (502, b"<html>Bad gateway</html>", "server_error"),
        (503, _error("overloaded"), "server_error"),
        (529, b"", "server_error"),
    ],
)
async def test_status_becomes_a_kind(
    short_model: Upstream, status: int, body: Any, kind: FailureKind
) -> None:
    """Every refusal has one kind, is charged nothing, and the SDK does not ask a second time."""
    short_model.answers(body, status, {"x-should-retry": "true"})
    async with endpoint(short_model.url) as server:
        failed = await _failure(server)
    assert (failed.kind, failed.may_be_charged) == (kind, False)
    assert len(short_model.calls) == 1


async def test_environment_adds_nothing_to_a_call(
    short_model: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own variables reach no endpoint: its key and its headers are those of the config."""
    planted = "Authorization: Bearer theirs\nX-Planted: 1\naccept-encoding: gzip"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", planted)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-theirs")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-theirs")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-theirs")
    async with endpoint(short_model.url, "ours", headers={"X-Ours": "2"}) as server:
        await server.post("/chat/completions", BODY, 5.0)
    sent = short_model.calls[0].headers
    assert (sent["authorization"], sent["x-ours"]) == ("Bearer ours", "2")
    assert sent["accept-encoding"] == "identity"
    assert not {"x-planted", "openai-organization", "openai-project"} & set(sent)
    assert "theirs" not in str(sent)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(
    short_model: Upstream, long_model: Upstream, status: int
) -> None:
    """Tickets and keys go to the configured server and to nobody that it points at."""
    short_model.answers(b"", status, {"location": f"{long_model.url}/chat/completions"})
    async with endpoint(short_model.url) as server:
        assert (await _failure(server)).kind == "server_error"
    assert long_model.calls == []


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00"}, 0.0),
    ],
)
async def test_retry_after_is_read(
    short_model: Upstream, headers: dict[str, str], expected_s: float | None
) -> None:
    """The pause that a server asks for is understood in each of its spellings, or not there."""
    short_model.answers(_error("slow down"), 429, headers)
    async with endpoint(short_model.url) as server:
        assert (await _failure(server)).retry_after_s == expected_s


async def test_retry_after_as_a_date(short_model: Upstream) -> None:
    """A pause that ends at a date is counted from now."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    short_model.answers(_error("slow down"), 503, {"retry-after": date})
    async with endpoint(short_model.url) as server:
        found_s = (await _failure(server)).retry_after_s
    assert found_s is not None
    assert 60 < found_s <= 90


@given(
    milliseconds=st.none() | st.text(st.characters(codec="ascii", min_codepoint=32), max_size=12),
    value=st.text(st.characters(codec="ascii", min_codepoint=32), max_size=40)
    | st.datetimes().map(format_datetime),
)
def test_any_retry_after_is_harmless(milliseconds: str | None, value: str) -> None:
    """No header of a model server can break the answer that says when to come again."""
    headers = {"retry-after": value}
    if milliseconds is not None:
        headers["retry-after-ms"] = milliseconds
    found_s = translate(_status_error(openai.RateLimitError, 429, headers)).retry_after_s
    assert found_s is None or (math.isfinite(found_s) and found_s >= 0)


# ---------------------------------------------------------------------------- broken answers


@pytest.mark.parametrize(
    "scripted",
    [
        Scripted(b"<html>Welcome to the hotel WLAN</html>", headers={"content-type": "text/html"}),
        Scripted(b"", 204),
        Scripted(completion("billing"), 201),
        Scripted(b"x" * (MAX_REPLY_BYTES + 1)),
        Scripted(b"no gzip", headers={"content-encoding": "gzip"}),
        Scripted(b"", headers={"content-type": "text/event-stream"}),
    ],
    ids=["html", "empty", "created", "oversize", "encoding", "stream"],
)
async def test_unreadable_200_is_garbage(short_model: Upstream, scripted: Scripted) -> None:
    """An answer that is no completion fails the attempt; it may have been charged."""
    short_model.answers_in_turn(scripted)
    async with endpoint(short_model.url) as server:
        attempt = await path("short", server).ask("charged twice", 5.0, "answer")
    assert (attempt.outcome, attempt.label) == ("garbage", None)
    assert attempt.cost.status == "unknown"
    assert len(short_model.calls) == 1


async def test_refused_connection_is_free(short_model: Upstream) -> None:
    """What never connected was never sent, so it costs nothing for sure."""
    async with endpoint(f"http://127.0.0.1:{free_port()}/v1") as server:
        failed = await _failure(server)
    assert (failed.kind, failed.may_be_charged) == ("connect", False)


@contextmanager
def _unanswering_port() -> Iterator[int]:
    """A listener that accepts nothing, its queue full: the next handshake hangs."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (one, two):
            waiting.setblocking(False)  # noqa: FBT003 -- the standard library's signature
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield int(listener.getsockname()[1])


async def test_hanging_handshake_has_its_own_limit() -> None:
    """A server that cannot be reached is given up long before the attempt's time is over."""
    with _unanswering_port() as port:
        url = f"http://127.0.0.1:{port}/v1"
        async with endpoint(url, connect_timeout_s=0.2) as server:
            started = time.perf_counter()
            failed = await _failure(server, timeout_s=20.0)
    assert (failed.kind, failed.may_be_charged) == ("connect", False)
    assert time.perf_counter() - started < 5.0


@pytest.mark.parametrize("mode", ["reset", "cut"])
async def test_broken_connection_may_be_charged(short_model: Upstream, mode: Any) -> None:
    """After the request was sent the model may have answered: the cost is not known to be 0."""
    async with proxied(short_model.port) as proxy:
        await proxy.set(mode)
        async with endpoint(_through(proxy)) as server:
            failed = await _failure(server)
    assert (failed.kind, failed.may_be_charged) == ("reset", True)


async def test_silent_server_costs_the_deadline_only(short_model: Upstream) -> None:
    """A server that takes the request and never answers is a timeout, when the deadline says so."""
    async with proxied(short_model.port) as proxy:
        await proxy.set("blackhole")
        async with endpoint(_through(proxy)) as server:
            started = time.perf_counter()
            failed = await _failure(server, timeout_s=0.2)
    assert (failed.kind, failed.may_be_charged) == ("timeout", True)
    assert 0.15 < time.perf_counter() - started < 3.0


async def test_dripping_server_costs_the_deadline_only() -> None:
    """Bytes that keep coming, too slowly to ever be an answer, do not extend the deadline."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        try:
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        finally:
            writer.close()

    dripping = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = dripping.sockets[0].getsockname()[1]
    async with dripping, endpoint(f"http://127.0.0.1:{port}/v1") as server:
        started = time.perf_counter()
        failed = await _failure(server, timeout_s=0.3)
        assert (failed.kind, failed.may_be_charged) == ("timeout", True)
        assert time.perf_counter() - started < 3.0


# ---------------------------------------------------------------------------- the SDK's errors

REQUEST = httpx2.Request("POST", "http://test/v1")


def _status_error(
    kind: type[openai.APIStatusError], status: int, headers: dict[str, str] | None = None
) -> openai.APIStatusError:
    response = httpx2.Response(status, headers=headers, request=REQUEST)
    if kind is openai.OAuthError:
        return openai.OAuthError(response=response, body=None)
    return kind("no", response=response, body=None)


def _validation_error() -> openai.APIResponseValidationError:
    return openai.APIResponseValidationError(httpx2.Response(200, request=REQUEST), None)


def _all_of(base: type[Exception]) -> set[type[Exception]]:
    return {base}.union(*(_all_of(found) for found in base.__subclasses__()))


# Every exception class that a call of the SDK can raise, and what it means here.
TRANSLATED: dict[type[Exception], tuple[Callable[[], Exception], FailureKind]] = {
    openai.APIError: (lambda: openai.APIError("no", REQUEST, body=None), "garbage"),
    openai.APIResponseValidationError: (_validation_error, "garbage"),
    openai.APIStatusError: (lambda: _status_error(openai.APIStatusError, 302), "server_error"),
    openai.APIConnectionError: (lambda: openai.APIConnectionError(request=REQUEST), "reset"),
    openai.APITimeoutError: (lambda: openai.APITimeoutError(REQUEST), "timeout"),
    openai.BadRequestError: (lambda: _status_error(openai.BadRequestError, 400), "refused"),
    openai.AuthenticationError: (
        lambda: _status_error(openai.AuthenticationError, 401),
        "unauthorised",
    ),
    openai.OAuthError: (lambda: _status_error(openai.OAuthError, 401), "unauthorised"),
    openai.PermissionDeniedError: (
        lambda: _status_error(openai.PermissionDeniedError, 403),
        "unauthorised",
    ),
    openai.NotFoundError: (lambda: _status_error(openai.NotFoundError, 404), "model_gone"),
    openai.ConflictError: (lambda: _status_error(openai.ConflictError, 409), "server_error"),
    openai.UnprocessableEntityError: (
        lambda: _status_error(openai.UnprocessableEntityError, 422),
        "refused",
    ),
    openai.RateLimitError: (lambda: _status_error(openai.RateLimitError, 429), "rate_limited"),
    openai.InternalServerError: (
        lambda: _status_error(openai.InternalServerError, 500),
        "server_error",
    ),
}


def test_every_error_of_the_sdk_is_translated() -> None:
    """A new exception class of the SDK fails here first, not in front of a ticket."""
    assert _all_of(openai.APIError) == set(TRANSLATED)


@pytest.mark.parametrize(
    ("make", "kind"),
    TRANSLATED.values(),
    ids=[kind.__name__ for kind in TRANSLATED],
)
def test_errors_of_the_sdk_have_a_kind(make: Callable[[], Exception], kind: FailureKind) -> None:
    """Each of the SDK's errors becomes one of ours, whose text holds nothing of the request."""
    failed = translate(make())
    assert failed.kind == kind
    assert str(failed) == kind


_FREE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def _kind_below(cause: type[Exception]) -> FailureKind:
    if cause in _FREE:
        return "connect"
    if cause is httpx2.DecodingError:
        return "garbage"
    return "timeout" if issubclass(cause, httpx2.TimeoutException) else "reset"


@pytest.mark.parametrize("cause", sorted(_all_of(httpx2.RequestError), key=str))
def test_every_error_below_the_sdk_is_translated(cause: type[Exception]) -> None:
    """Only what failed before it was sent is free; every other break may have been charged."""
    error = openai.APIConnectionError(request=REQUEST)
    if issubclass(cause, httpx2.TimeoutException):
        error = openai.APITimeoutError(REQUEST)
    error.__cause__ = cause("no")
    failed = translate(error)
    assert (failed.kind, failed.may_be_charged) == (_kind_below(cause), cause not in _FREE)


def test_surprises_are_failed_attempts() -> None:
    """An error that no library announced costs the attempt, not the ticket."""
    for surprise in (
        OSError("no"),
        ExceptionGroup("no", [OverflowError()]),
        RuntimeError("closed"),
    ):
        failed = translate(surprise)
        assert (failed.kind, failed.may_be_charged) == ("reset", True)


# ---------------------------------------------------------------------------- connections


def _through(proxy: FaultProxy) -> str:
    return f"http://127.0.0.1:{proxy.port}/v1"


async def test_connection_outlives_a_pause(short_model: Upstream) -> None:
    """At a ticket every six seconds no ticket pays for a handshake: the SDK alone would each time."""
    async with proxied(short_model.port) as proxy, endpoint(_through(proxy)) as server:
        assert await server.warm()
        await server.post("/chat/completions", BODY, 5.0)
        await asyncio.sleep(5.5)  # the SDK lets go after 5 s
        await server.post("/chat/completions", BODY, 5.0)
        assert proxy.connections == 1


async def test_cancelled_calls_leak_no_connection(short_model: Upstream) -> None:
    """Callers that go away at any moment leave a pool of four as good as new."""
    randomly = random.Random(7)
    short_model.delay_s = 0.01
    async with endpoint(short_model.url, max_connections=4) as server:
        for _ in range(25):
            calls = [
                asyncio.create_task(server.post("/chat/completions", BODY, 5.0)) for _ in range(20)
            ]
            await asyncio.sleep(randomly.uniform(0.0, 0.03))
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        replies = [server.post("/chat/completions", BODY, 5.0) for _ in range(8)]
        assert len(await asyncio.gather(*replies)) == 8


async def test_timed_out_calls_leak_no_connection(short_model: Upstream) -> None:
    """Calls that were given up make room for the next ones at once."""
    async with endpoint(short_model.url, max_connections=2) as server:
        short_model.hangs()
        for _ in range(6):
            assert (await _failure(server, timeout_s=0.05)).kind == "timeout"
        short_model.answers(completion("billing"))
        await server.post("/chat/completions", BODY, 5.0)


async def test_calls_wait_for_a_free_connection(short_model: Upstream) -> None:
    """More calls than connections are a queue, not an error."""
    short_model.delay_s = 0.01
    async with proxied(short_model.port) as proxy:
        async with endpoint(_through(proxy), max_connections=2) as server:
            calls = [server.post("/chat/completions", BODY, 10.0) for _ in range(20)]
            await asyncio.gather(*calls)
        assert proxy.connections == 2


async def test_warm_says_whether_a_server_is_there(short_model: Upstream) -> None:
    """Any HTTP answer is a sign of life; no connection is none; neither raises."""
    async with endpoint(f"{short_model.url}/no/such/place") as server:
        assert await server.warm()
    async with endpoint(f"http://127.0.0.1:{free_port()}/v1") as server:
        assert not await server.warm()
    async with proxied(short_model.port) as proxy, endpoint(_through(proxy)) as server:
        await proxy.set("reset")
        assert not await server.warm()


# ---------------------------------------------------------------------------- headers


async def test_headers_go_out(short_model: Upstream) -> None:
    """The key and the config's own headers stand on every call."""
    async with endpoint(short_model.url, "sk-test", headers={"x-team": "support"}) as server:
        await server.post("/chat/completions", BODY, 5.0)
    sent = short_model.calls[0].headers
    assert sent["authorization"] == "Bearer sk-test"
    assert sent["x-team"] == "support"
    assert sent["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("value", "expected_s"), [("123.5", 0.1235), ("-1", 0.0), ("nan", None), ("soon", None)]
)
async def test_headers_come_back(
    short_model: Upstream, value: str, expected_s: float | None
) -> None:
    """The server's own time is read where it is one, and a simulated answer says that it is."""
    headers = {"openai-processing-ms": value, "x-simulated": "1"}
    short_model.answers(completion("billing"), headers=headers)
    async with endpoint(short_model.url) as server:
        raw = await server.post("/chat/completions", BODY, 5.0)
        short_model.answers(_error(), 500, headers)
        failed = await _failure(server)
    assert (raw.server_time_s, raw.simulated, failed.simulated) == (expected_s, True, True)
