"""Ticket text goes to the model and nowhere else, whatever happens on the way."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from pathlib import Path
from typing import Any

import httpx2
from httpx2 import Response

from tests.support.crashing import crashing_service
from tests.support.house import trusting, write_config
from tests.support.logged import logged
from tests.support.process import serving
from tests.support.upstream import Call, Scripted, Upstream, completion

CANARY = "canary"
NDJSON = {"Content-Type": "application/x-ndjson"}


def _ticket(rng: random.Random) -> dict[str, Any]:
    """A ticket with a canary in every field that a caller fills."""

    def canary() -> str:
        return f"{CANARY}-{rng.randbytes(8).hex()}"

    return {
        "id": canary(),
        "subject": f"my {canary()}",
        "body": f"I lost {canary()} and {canary()}",
        "language": canary(),
        "channel": canary(),
        "tags": [canary(), canary()],
        "metadata": {canary(): canary(), "order": canary()},
    }


async def _echo(call: Call) -> Scripted:
    """A model server that says everything back, in answers and in errors."""
    chosen = int(call.ticket[-1], 16)
    if chosen < 7:
        return Scripted(completion("billing"))
    if chosen < 10:
        return Scripted(completion(f"the label of {call.ticket}"))
    if chosen < 12:
        return Scripted({"error": {"message": call.ticket, "code": call.ticket}}, status=400)
    if chosen < 14:
        return Scripted(call.ticket.encode() * 2)
    asked = {"retry-after": call.ticket[-9:]}
    if chosen < 15:
        return Scripted({"error": call.ticket}, 503, asked)
    return Scripted({"error": call.ticket}, 429, asked | {"retry-after-ms": "0"})


def _spoilt(ticket: dict[str, Any], n: int) -> bytes:
    """The ticket's bytes, broken in one of several ways."""
    whole = json.dumps(ticket).encode()
    ways = (
        whole[:-1],
        whole.replace(b"lost", b"\xff"),
        json.dumps({**ticket, "tags": ticket["body"]}).encode(),
        json.dumps({**ticket, "body": [ticket["body"]]}).encode(),
        json.dumps({**ticket, "id": ticket["id"] * 20}).encode(),
        json.dumps({**ticket, "metadata": {ticket["id"]: [ticket["body"]]}}).encode(),
        json.dumps({**ticket, "language": ticket["language"] * 9}).encode(),
        json.dumps(ticket["body"]).encode(),
        whole * 800,
    )
    return ways[n % len(ways)]


async def _send_all(client: httpx2.AsyncClient, tickets: list[dict[str, Any]]) -> list[Response]:
    """Every other ticket whole, the others spoilt; twenty at a time."""

    async def send(n: int) -> Response:
        ticket = tickets[n]
        content = json.dumps(ticket).encode() if n % 2 else _spoilt(ticket, n // 2)
        headers = {"Content-Type": "application/json"}
        return await client.post("/classify", content=content, headers=headers)

    answers = []
    for start in range(0, len(tickets), 20):
        answers += await asyncio.gather(*map(send, range(start, start + 20)))
    return answers


async def _send_batch(client: httpx2.AsyncClient, tickets: list[dict[str, Any]]) -> list[str]:
    """The lines of a batch's answer that are errors."""
    lines = [_spoilt(t, n) if n % 3 else json.dumps(t).encode() for n, t in enumerate(tickets)]
    answer = await client.post("/classify/batch", content=b"\n".join(lines), headers=NDJSON)
    return [line for line in answer.text.splitlines() if '"error"' in line]


async def test_canaries_stay_inside_the_real_service(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """200 tickets through answers, errors and refusals: no canary on stderr, in metrics or problems."""
    rng = random.Random(7)
    tickets = [_ticket(rng) for _ in range(200)]
    short_model.respond = long_model.respond = _echo
    config = trusting(write_config(tmp_path, short_model.url, long_model.url))
    async with serving(config, tmp_path, {"CLASSIFIER_LOG_LEVEL": "debug"}) as process:
        answers = await _send_all(process.client, tickets)
        shown = [answer.text for answer in answers if answer.status_code != 200]
        shown += await _send_batch(process.client, tickets[:60])
        for target in ("/metrics", "/readyz", "/console/state"):
            shown.append((await process.client.get(target)).text)
        assert await process.stop() == 0
    shown.append(process.stderr())
    assert {answer.status_code for answer in answers} == {200, 400, 413, 422, 503}
    assert len(process.events("ticket.classified")) > 30
    assert len(process.events("ticket.failed")) > 100
    assert [text for text in shown if CANARY in text] == []
    asked = "".join(call.ticket for call in short_model.calls)
    assert CANARY in asked  # the canaries were there to be found


async def test_canaries_survive_a_crash(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A bug whose error holds the ticket is logged by class and place, here and in lost tasks."""
    rng = random.Random(8)
    config = write_config(tmp_path, short_model.url, long_model.url)
    with logged() as log:
        async with crashing_service(config) as client:
            for word in ("crash", "forget"):
                ticket = {**_ticket(rng), "subject": word}
                single = await client.post("/classify", json=ticket)
                batch = await client.post(
                    "/classify/batch", content=json.dumps(ticket).encode(), headers=NDJSON
                )
                if word == "crash":
                    assert single.status_code == 500
                    shown = single.text + batch.text
        gc.collect()  # a task's lost exception is logged when the task is
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    crashes = [event for event in events if event["event"] == "request.crashed"]
    assert {crash["error"] for crash in crashes} == {"ValueError"}
    assert all(any("classify" in place for place in crash["at"]) for crash in crashes)
    lost = [event for event in events if event["event"] == "asyncio"]
    assert {event["message"] for event in lost} == {"Task exception was never retrieved"}
    assert CANARY not in shown
    assert CANARY not in log.getvalue()
    assert crashes[0]["request_id"] in shown
