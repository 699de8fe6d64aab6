"""Ticket text goes to the model and nowhere else, whatever happens on the way."""

from __future__ import annotations

import gc
import json
import random
from pathlib import Path
from typing import Any

from tests.support.crashing import crashing_service
from tests.support.house import write_config
from tests.support.logged import logged
from tests.support.upstream import Upstream

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
