"""The end of a process: told at once, served on, nothing dropped."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from time import monotonic

import httpx2
import pytest

from tests.support.house import edited, write_config
from tests.support.process import ServiceProcess, serving
from tests.support.raw import connected, request
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

JSON_LINE = b"Content-Type: application/json"


async def _is_not_ready(service: ServiceProcess) -> bool:
    return (await service.client.get("/readyz")).status_code == 503


async def test_end_is_told_at_once_and_requests_are_served_on(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """After SIGTERM: 503 on /readyz, `Connection: close` on every answer, also for newcomers."""
    config = write_config(tmp_path, short_model.url, long_model.url)
    async with serving(config, tmp_path, {"CLASSIFIER_DRAIN_S": "2"}) as service:
        kept = await service.client.post("/classify", json={"body": "before"})
        assert "connection" not in kept.headers
        service.signal(signal.SIGTERM)
        await eventually(lambda: _is_not_ready(service))
        answer = (await service.client.get("/readyz")).json()
        assert (answer["ready"], answer["draining"]) == (False, True)
        assert (await service.client.head("/readyz")).status_code == 503
        for number in range(3):
            served = await service.client.post("/classify", json={"body": f"late {number}"})
            assert (served.status_code, served.headers["connection"]) == (200, "close")
        assert (await service.client.get("/healthz")).status_code == 200
        assert "classifier_draining 1.0" in (await service.client.get("/metrics")).text
        assert await service.ended() == 0
        assert [event["window_s"] for event in service.events("service.draining")] == [2.0]


async def test_requests_under_way_outlive_the_drain(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A slow answer and a request whose first bytes came before the end are both answered."""
    config = write_config(tmp_path, short_model.url, long_model.url)
    async with (
        serving(config, tmp_path, {"CLASSIFIER_DRAIN_S": "0.2"}) as service,
        connected(service.port) as connection,
    ):
        short_model.delay_s = 0.9
        slow = asyncio.create_task(service.client.post("/classify", json={"body": "slow"}))
        data = request("/classify", b'{"body":"halves"}', JSON_LINE)
        await connection.send(data[:30])
        await eventually(lambda: len(short_model.calls) == 1)
        service.signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        with pytest.raises(httpx2.ConnectError):  # the drain is over: nobody new is let in
            async with httpx2.AsyncClient() as late:
                await late.get(f"http://127.0.0.1:{service.port}/healthz")
        await connection.send(data[30:])
        halves = await connection.answer()
        assert ((await slow).status_code, halves.status) == (200, 200)
        assert halves.headers["connection"] == "close"
        assert await service.ended() == 0


async def test_batch_says_which_lines_the_end_has_left(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """An answer that the end cuts short is whole: each line that is left says so, and the rest too."""
    config = write_config(tmp_path, short_model.url, long_model.url)
    edited(config, 'auth = "none"', 'auth = "none"\nmax_timeout_s = 1.0\nbatch_concurrency = 1')
    edited(config, "timeout_s = 1.0\nstatic", "timeout_s = 20.0\nstatic")
    head = b"POST /classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    lines = b"".join(b'{"body":"%d"}\n' % number for number in range(30))
    async with (
        serving(config, tmp_path) as service,
        connected(service.port) as batch,
    ):
        short_model.delay_s = long_model.delay_s = 0.4
        await batch.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        await batch.send(b"%x\r\n%s\r\n" % (len(lines), lines))  # and its end never comes
        await eventually(lambda: len(short_model.calls) >= 1)
        service.signal(signal.SIGTERM)
        answered = await batch.answer(10.0)
        assert await service.ended() == 0
    found = [json.loads(line) for line in answered.body.splitlines()]
    assert answered.complete
    whole = [line for line in found if "label" in line]
    left = [line for line in found if "error" in line]
    assert whole
    assert found == whole + left
    assert [line["line"] for line in left] == list(range(len(whole) + 1, 32))
    assert {line["error"]["type"] for line in left} == {"urn:classifier:problem:ending"}


async def test_second_signal_skips_the_drain(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Who asks twice is in a hurry; and ctrl-c has no load balancer to wait for."""
    config = write_config(tmp_path, short_model.url, long_model.url)
    async with serving(config, tmp_path, {"CLASSIFIER_DRAIN_S": "60"}) as service:
        service.signal(signal.SIGTERM)
        await eventually(lambda: _is_not_ready(service))
        asked = monotonic()
        service.signal(signal.SIGTERM)
        assert await service.ended() == 0
        assert monotonic() - asked < 30
