"""More tickets than the models can take: who is answered, who waits, who is told to come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import msgspec

from tests.support.house import Service, service, write_config
from tests.support.raw import connected
from tests.support.upstream import Call, Scripted, Upstream, completion
from tests.support.waiting import eventually

NARROW = """
[overload]
adaptive = false
min_concurrency = 1
initial_concurrency = 2
queue_length = 1
queue_wait_s = 10.0
"""
NDJSON = {"content-type": "application/x-ndjson"}


class Held:
    """A model that answers only once the test lets it."""

    def __init__(self, model: Upstream) -> None:
        self._released = asyncio.Event()
        self._model = model
        model.respond = self._respond

    def release(self) -> None:
        self._released.set()

    async def asked(self, count: int) -> None:
        async def so_often() -> bool:
            return len(self._model.calls) >= count

        await eventually(so_often, within_s=10.0)

    async def _respond(self, _: Call) -> Scripted:
        await self._released.wait()
        return Scripted(completion("billing"))


@asynccontextmanager
async def _narrow(
    folder: Path, short: Upstream, long: Upstream, more: str = NARROW
) -> AsyncIterator[Service]:
    config = write_config(folder, short.url, long.url, more)
    config.write_text(config.read_text().replace("timeout_s = 1.0", "timeout_s = 20.0"))
    async with service(config) as house:
        yield house


async def _full(
    house: Service, held: Held, waiting: int = 1
) -> list[asyncio.Task[httpx2.Response]]:
    """Both slots are taken and the queue is as long as it may be."""
    tasks = [asyncio.create_task(house.classify(f"ticket {n}")) for n in range(2 + waiting)]
    await held.asked(2)

    async def queued() -> bool:
        return await house.metric("classifier_admission_queue_tickets") == waiting

    await eventually(queued, within_s=10.0)
    return tasks


async def _statuses(answers: list[asyncio.Task[httpx2.Response]]) -> list[int]:
    return [answer.status_code for answer in await asyncio.gather(*answers)]


async def test_what_is_too_much_is_refused_at_once(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Slots and queue full: 429 with Retry-After and a problem, no model asked; who was in is answered."""
    held = Held(short_model)
    async with _narrow(tmp_path, short_model, long_model) as house:
        tasks = await _full(house, held)
        refused = await house.classify("one too many")
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:classifier:problem:overloaded"
        assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert len(short_model.calls) == 2
        held.release()
        assert await _statuses(tasks) == [200, 200, 200]
        assert (await house.classify("later")).status_code == 200
        shed = await house.metric(
            "classifier_shed_tickets_total", door="classify", reason="queue_full"
        )
        counted = await house.metric("classifier_tickets_total", outcome="overloaded")
        used = await house.metric("classifier_concurrency_used_slots")
    assert (shed, counted, used) == (1, 1, 0)


async def test_known_answers_need_no_slot(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """With every slot taken a cached ticket is answered, and one that is being asked is waited for."""
    async with _narrow(tmp_path, short_model, long_model) as house:
        await house.classify("known")
        held = Held(short_model)
        tasks = [asyncio.create_task(house.classify(f"ticket {n}")) for n in range(2)]
        await held.asked(3)
        cached = (await house.classify("known")).json()
        same = [asyncio.create_task(house.classify("ticket 1")) for _ in range(20)]
        held.release()
        await _statuses(tasks)
        answers = [answer.json()["source"] for answer in await asyncio.gather(*same)]
    assert cached["source"] == "cache"
    assert set(answers) <= {"coalesced", "cache"}
    assert len(short_model.calls) == 3


async def test_batch_waits_while_others_are_refused(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A busy service makes a batch slow and fails none of its lines; it leaves single tickets room."""
    held = Held(short_model)
    async with _narrow(tmp_path, short_model, long_model) as house:
        lines = b"".join(msgspec.json.encode({"body": f"line {n}"}) + b"\n" for n in range(30))
        batch = asyncio.create_task(
            house.client.post("/classify/batch", content=lines, headers=NDJSON)
        )
        await held.asked(1)
        single = asyncio.create_task(house.classify("a single ticket"))
        await held.asked(2)
        held.release()
        assert (await single).status_code == 200
        answers = [json.loads(line) for line in (await batch).text.splitlines()]
    assert [answer.get("label") for answer in answers] == ["billing"] * 30


async def test_line_gives_up_in_the_end(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A batch's line that finds no slot within `batch_wait_s` says that the service is overloaded."""
    held = Held(short_model)
    more = f"{NARROW}batch_wait_s = 0.2\n"
    async with _narrow(tmp_path, short_model, long_model, more) as house:
        tasks = await _full(house, held, waiting=0)
        answer = await house.client.post(
            "/classify/batch", content=b'{"body": "a line"}', headers=NDJSON
        )
        problem = json.loads(answer.text)["error"]
        held.release()
        await asyncio.gather(*tasks)
    assert (problem["status"], problem["type"]) == (429, "urn:classifier:problem:overloaded")


async def test_batches_are_bounded(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """One batch more than `max_batches` is refused before its body is read; its place is freed."""
    held = Held(short_model)
    more = f"{NARROW}max_batches = 1\n"
    async with _narrow(tmp_path, short_model, long_model, more) as house:

        def batch() -> Awaitable[httpx2.Response]:
            return house.client.post(
                "/classify/batch", content=b'{"body": "a line"}', headers=NDJSON
            )

        first = asyncio.ensure_future(batch())
        await held.asked(1)
        refused = await batch()
        held.release()
        assert ((await first).status_code, refused.status_code) == (200, 429)
        assert (await batch()).status_code == 200
        shed = await house.metric("classifier_shed_tickets_total", door="batch", reason="batches")
    assert shed == 1


async def test_tickets_in_flight_are_bounded(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Above `max_in_flight` a ticket is refused before its body is read, even one that is cached."""
    held = Held(short_model)
    more = f"{NARROW}max_in_flight = 3\n"
    async with _narrow(tmp_path, short_model, long_model, more) as house:
        tasks = await _full(house, held)
        refused = await house.classify("ticket 1")
        held.release()
        await asyncio.gather(*tasks)
        shed = await house.metric("classifier_shed_tickets_total", reason="in_flight")
    assert (refused.status_code, shed) == (429, 1)


async def test_who_goes_away_leaves_the_queue(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A batch whose client hangs up leaves no line waiting, and no model is asked for it."""
    held = Held(short_model)
    async with _narrow(tmp_path, short_model, long_model) as house:
        tasks = await _full(house, held, waiting=0)
        lines = b"".join(msgspec.json.encode({"body": f"line {n}"}) + b"\n" for n in range(9))
        batch = asyncio.create_task(
            house.client.post("/classify/batch", content=lines, headers=NDJSON)
        )

        async def waiting(count: int) -> bool:
            return await house.metric("classifier_admission_queue_tickets") == count

        await eventually(lambda: waiting(9), within_s=10.0)
        batch.cancel()
        await eventually(lambda: waiting(0), within_s=10.0)
        held.release()
        assert await _statuses(tasks) == [200, 200]
        assert len(short_model.calls) == 2
        assert await house.metric("classifier_concurrency_used_slots") == 0


async def test_body_that_stands_still_ends(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A batch's client that stops sending gets the answers so far and a line that says why they end."""
    more = f"{NARROW}batch_idle_s = 0.3\n"
    head = b"POST /classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    line = b'{"body": "first"}\n'
    async with (
        _narrow(tmp_path, short_model, long_model, more) as house,
        connected(house.port) as connection,
    ):
        await connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        await connection.send(b"%x\r\n%s\r\n" % (len(line), line))
        answer = await connection.answer(timeout_s=20.0)
    first, end = (json.loads(found) for found in answer.body.splitlines())
    assert (first["label"], end["error"]["type"]) == ("billing", "urn:classifier:problem:malformed")
    assert "stood still" in end["error"]["detail"]


async def test_batch_ends_in_time(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Lines that have not begun when `batch_timeout_s` is over are told so; none goes unanswered."""
    short_model.delay_s = 0.05
    more = f"{NARROW}batch_timeout_s = 0.05\n"
    lines = b"".join(msgspec.json.encode({"body": f"line {n}"}) + b"\n" for n in range(40))
    async with _narrow(tmp_path, short_model, long_model, more) as house:
        batch = await house.client.post("/classify/batch", content=lines, headers=NDJSON)
    answers = [json.loads(line) for line in batch.text.splitlines()]
    late = [one["error"]["type"].rpartition(":")[2] for one in answers if "error" in one]
    assert len(answers) == 40
    assert set(late) == {"out-of-time"}
