"""More requests than the process can read: who is refused before anything is done for them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.http.test_overload import NARROW, Held
from tests.support.contract import assert_problem_body
from tests.support.house import Service, service, write_config
from tests.support.raw import RawConnection, connected, request
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

# No turn of the loop is so short: whoever would get no slot is refused unread.
ALWAYS_LATE = f"{NARROW}turn_target_s = 1e-9\n"
JSON = b"Content-Type: application/json"
SHED = "classifier_shed_tickets_total"
NONSENSE = request("/classify", b"no ticket at all", JSON, b"X-Request-Id: mine-1")


async def _fill(house: Service, held: Held) -> list[asyncio.Task[object]]:
    """Both slots are taken, and the one place in the queue."""
    tasks = []
    for number in range(3):
        tasks.append(asyncio.create_task(_classify(house, f"ticket {number}")))

        async def here(count: int = number + 1) -> bool:
            used = await house.metric("classifier_concurrency_used_slots")
            waiting = await house.metric("classifier_admission_queue_tickets")
            return used + waiting == count

        await eventually(here, within_s=10.0)
    await held.asked(2)
    return tasks


async def _classify(house: Service, body: str) -> object:
    return (await house.classify(body)).json()["label"]


async def test_late_and_hopeless_is_refused_unread(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """No slot and no time: 429 without reading what was sent, as a problem with the caller's id."""
    config = write_config(tmp_path, short_model.url, long_model.url, ALWAYS_LATE)
    config.write_text(config.read_text().replace("timeout_s = 1.0", "timeout_s = 20.0"))
    held = Held(short_model)
    async with service(config) as house, connected(house.port) as connection:
        tasks = await _fill(house, held)
        await connection.send(NONSENSE)
        answer = await connection.answer()
        assert answer.status == 429
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == "mine-1"
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert_problem_body(answer.body, 429, "overloaded", "try again")
        assert (await house.classify("refused as well")).status_code == 429  # holds the contract
        assert [await _status(house, door) for door in ("/healthz", "/readyz")] == [200, 200]
        assert await house.metric(SHED, door="classify", reason="late") == 2
        assert await house.metric("classifier_tickets_total", outcome="overloaded") == 2
        counted = await house.metric("classifier_http_requests_total", route="/classify")
        assert counted == 2
        held.release()
        assert await asyncio.gather(*tasks) == ["billing"] * 3
        await _same_connection_goes_on(connection)


async def _same_connection_goes_on(connection: RawConnection) -> None:
    """A refusal does not cost the client its connection: 400 is this request's own answer."""
    await connection.send(NONSENSE)
    assert (await connection.answer()).status == 400


async def _status(house: Service, door: str) -> int:
    return (await house.client.get(door)).status_code


async def test_late_alone_is_no_reason(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """As long as slots are free a slow turn refuses nobody."""
    config = write_config(tmp_path, short_model.url, long_model.url, ALWAYS_LATE)
    async with service(config) as house:
        answers = [await house.classify(f"ticket {number}") for number in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert await house.metric(SHED) == 0


async def test_standing_queue_is_cut(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A loop that stays slow under a crowd reads as much as fits, refuses the rest, and recovers."""
    more = "\n[overload]\nturn_limit_s = 0.02\n"
    config = write_config(tmp_path, short_model.url, long_model.url, more)
    async with service(config) as house:
        statuses: list[int] = []

        async def blocks() -> None:
            while statuses.count(429) < 5:
                time.sleep(0.03)  # noqa: ASYNC251 -- the service runs in this loop: the planted lag
                await asyncio.sleep(0)

        async def crowd() -> None:
            while not blocking.done():
                statuses.append((await house.classify("the same")).status_code)

        blocking = asyncio.create_task(blocks())
        async with asyncio.timeout(60.0):
            await asyncio.gather(blocking, *(crowd() for _ in range(16)))
        assert set(statuses) == {200, 429}
        assert await house.metric(SHED, reason="late") == statuses.count(429)
        assert await _status(house, "/healthz") == 200
        await asyncio.sleep(0.2)
        assert (await house.classify("the same")).status_code == 200


async def test_time_runs_from_the_first_byte(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """What waits behind its connection's first request spends its own time there; no model is asked."""
    config = write_config(tmp_path, short_model.url, long_model.url)
    short_model.delay_s = 0.4
    async with service(config) as house, connected(house.port) as connection:
        first = request("/classify", b'{"body": "first"}', JSON)
        second = request("/classify", b'{"body": "second"}', JSON, b"X-Timeout-Ms: 300")
        cached = request("/classify", b'{"body": "first"}', JSON, b"Connection: close")
        await connection.send(first + second + cached)
        answers = (await connection.rest()).split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"200", b"504", b"200"]
        assert len(short_model.calls) == 1
        total_ms = float(answers[2].split(b"total;dur=")[1].split(b"\r")[0])
        assert total_ms >= 350.0
