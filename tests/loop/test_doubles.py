"""Many deliveries of few events, hostile requests to every door, and work done elsewhere."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from classifier.app import create_app, create_worker
from classifier.errors import ConfigError
from classifier.settings import read_settings
from tests.helpdesks.cases import CASES, SECRET, SENDERS, desk_of
from tests.loop.test_loop import arrival, looping
from tests.loop.test_service import DESK, _deliver, _ticket_id, looped
from tests.support.house import Service, service, write_config
from tests.support.redis_server import RedisServer, free_port
from tests.support.upstream import Upstream, served
from tests.support.waiting import eventually

CHATWOOT = CASES["chatwoot"]


async def test_a_thousand_deliveries_of_a_hundred_events_are_a_hundred_writes(
    tmp_path: Path,
) -> None:
    """Ten deliveries of each event in any order: one classification and one write for each."""
    shuffled = random.Random(3)
    async with looping(tmp_path) as house:
        deliveries = []
        for number in range(100):
            ticket_id = str(8_000 + number)
            house.fake.ticket(ticket_id)
            deliveries += [arrival(house, CHATWOOT, ticket_id, f"{900_000 + number}")] * 10
        shuffled.shuffle(deliveries)
        house.loop.start()
        for delivery in deliveries:
            assert await house.deliver(delivery) == 200
        await house.quiet()
        assert house.watching.deliveries == {"accepted": 100, "duplicate": 900}
        assert len(house.model.tickets) == 100
        assert house.watching.statuses == {"written": 100}


def _every_account(url: str) -> str:
    """An entry for every vendor, without anything to write."""
    text = ""
    for name, case in SENDERS.items():
        text += f'\n[[helpdesks]]\nname = "{name}"\nvendor = "{name}"\nsecret_env = ["{name.upper()}"]\n'
        if "proof" in case.entry:
            text += f'proof = "{case.entry["proof"]}"\n'
        text += f'base_url = "{url}"\n' if name == "generic" else ""
    return text


def _hostile(draw: random.Random) -> tuple[dict[str, str], bytes]:
    """Headers and a body as nobody would send them by mistake."""
    names = [
        "x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp", "x-hub-signature",
        "x-helpscout-signature", "x-front-signature", "x-front-request-timestamp",
        "x-chatwoot-signature", "x-chatwoot-timestamp", "x-hubspot-signature-v3",
        "x-hubspot-request-timestamp", "webhook-id", "webhook-timestamp", "webhook-signature",
        "authorization", "x-classifier-secret", "content-type",
    ]  # fmt: skip
    values = [
        "",
        "sha1=",
        "sha256=ü",
        "v1,",
        "Basic !!",
        "9" * 400,
        "-1",
        "NaN",
        "2026-11-22T10:00:00Z",
    ]
    headers = {name: draw.choice(values) for name in draw.sample(names, draw.randint(0, 6))}
    bodies = [
        b"", b"{", b"[" * 2_000, b"null", b'{"a":' * 500, draw.randbytes(200), b"\xff\xfe",
        b'{"type":"zen:event-type:ticket.created","detail":{"id":1e400}}', b'[{"eventId":{}}]',
    ]  # fmt: skip
    return headers, draw.choice(bodies)


async def test_hostile_requests_to_every_webhook_are_never_a_5xx(
    tmp_path: Path, short_model: Upstream, long_model: Upstream, request: pytest.FixtureRequest
) -> None:
    """Random headers, bodies and encodings: each gets its 4xx (`--long`: 10,000 of them)."""
    draw = random.Random(11)
    config = write_config(
        tmp_path, short_model.url, long_model.url, _every_account("http://127.0.0.1:1")
    )
    environ: dict[str, Any] = {name.upper(): case.secret for name, case in SENDERS.items()}
    environ["CLASSIFIER_DATA_DIR"] = str(tmp_path / "data")
    async with service(config, environ) as house, httpx2.AsyncClient() as client:
        for _ in range(10_000 if request.config.getoption("--long") else 120):
            headers, body = _hostile(draw)
            url = f"{house.url}/webhooks/{draw.choice([*SENDERS, 'nobody', '%00', '..'])}"
            raw = {name.encode(): value.encode() for name, value in headers.items()}
            answer = await client.post(url, content=body, headers=raw)
            assert answer.status_code < 500, (url, headers, body)


async def _waits(house: Service) -> bool:
    return await house.metric("classifier_queue_entries", state="waiting") == 1


async def test_work_can_be_done_apart(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """With `workers = "apart"` the service only stores; a worker on the same Redis does the rest."""
    redis = RedisServer(tmp_path, "--appendonly", "yes")
    redis.start()
    apart = DESK.replace("[inbox]", '[inbox]\nworkers = "apart"')
    try:
        environ = {"CLASSIFIER_INBOX_REDIS_URL": redis.url}
        async with looped(tmp_path, short_model, long_model, apart, **environ) as (
            house, fake, desk,
        ):  # fmt: skip
            ticket = fake.ticket(_ticket_id(desk))
            assert await _deliver(house, desk) == 200
            await eventually(lambda: _waits(house))
            assert ticket.tags == []
            variables = {
                **environ, "CLASSIFIER_CONFIG": str(tmp_path / "classifier.toml"),
                "HOOK_SECRET": SECRET, "API_KEY": CHATWOOT.key,
            }  # fmt: skip
            port = free_port()
            async with served(create_worker(read_settings(variables), variables), port):
                await eventually(lambda: ticket.tags == ["tc_billing"], within_s=10)
                async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                    assert (await client.get("/healthz")).status_code == 200
                    assert (await client.post("/classify", json={"body": "x"})).status_code == 404
    finally:
        redis.stop()


async def test_a_redis_that_keeps_nothing_is_refused_where_durability_is_required(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """`durability = "required"`: an inbox without an append-only file does not start."""
    redis = RedisServer(tmp_path)
    redis.start()
    more = DESK.format(url="http://127.0.0.1:1").replace(
        "[inbox]", '[inbox]\ndurability = "required"'
    )
    config = write_config(tmp_path, short_model.url, long_model.url, more)
    variables = {
        "CLASSIFIER_CONFIG": str(config), "CLASSIFIER_INBOX_REDIS_URL": redis.url,
        "HOOK_SECRET": SECRET, "API_KEY": CHATWOOT.key,
    }  # fmt: skip
    app = create_app(read_settings(variables), variables)
    try:
        with pytest.raises(BaseExceptionGroup) as refused:
            async with app.lifespan():
                pass
        assert refused.group_contains(ConfigError, match="appendonly", depth=1)
    finally:
        redis.stop()


def test_samples_of_every_vendor_are_signed() -> None:
    """`connect --test` can send a sample of every vendor that the config may name."""
    for case in SENDERS.values():
        desk = desk_of(case)
        desk.verify(desk.sample("https://tc.example.com/hooks/hubspot", time.time()))
