"""The loop in the running service: HTTP in, a label in the helpdesk, corrections in the ledger."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from classifier.errors import ConfigError
from classifier.helpdesks.desk import Desk
from classifier.ledger import Ledger
from tests.helpdesks.cases import CASES, SECRET, desk_of
from tests.support.helpdesk.server import FakeHelpdesk
from tests.support.house import Service, service, write_config
from tests.support.redis_server import RedisServer
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

CASE = CASES["chatwoot"]
DESK = """
[inbox]
lease_s = 1.0
longest_pause_s = 0.2
[[helpdesks]]
name = "chatwoot"
vendor = "chatwoot"
secret_env = ["HOOK_SECRET"]
base_url = "{url}"
account_id = "1"
key_env = "API_KEY"
reconcile = false
[helpdesks.actions]
unknown_confidence = "write"
[helpdesks.actions.tag]
[helpdesks.actions.note]
"""


@asynccontextmanager
async def looped(
    folder: Path, short: Upstream, long: Upstream, more: str = DESK, **environ: str
) -> AsyncIterator[tuple[Service, FakeHelpdesk, Desk]]:
    """The service with one account, whose API is the fake."""
    async with FakeHelpdesk(CASE.dialect()).open() as fake:
        config = write_config(folder, short.url, long.url, more.format(url=fake.url))
        variables: dict[str, Any] = {
            "HOOK_SECRET": SECRET, "API_KEY": CASE.key,
            "CLASSIFIER_DATA_DIR": str(folder / "data"), **environ,
        }  # fmt: skip
        async with service(config, variables) as running:
            yield running, fake, desk_of(CASE, fake.url)


async def _deliver(house: Service, desk: Desk) -> int:
    sample = desk.sample(f"{house.url}/webhooks/chatwoot", time.time())
    answer = await house.client.post(
        "/webhooks/chatwoot", content=sample.body, headers=sample.headers
    )
    return answer.status_code


def _ticket_id(desk: Desk) -> str:
    parsed = desk.parse(desk.sample("https://x", time.time()))
    assert isinstance(parsed, tuple)
    return parsed[0].ticket_id


@pytest.mark.parametrize("store", ["file", "redis"])
async def test_a_webhook_ends_as_a_label_and_a_line(
    store: str, tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A signed POST is answered 200, the ticket is tagged and noted once, the ledger knows it."""
    redis = RedisServer(tmp_path, "--appendonly", "yes")
    redis.start()
    try:
        environ = {"CLASSIFIER_INBOX_REDIS_URL": redis.url} if store == "redis" else {}
        async with looped(tmp_path, short_model, long_model, **environ) as (house, fake, desk):
            ticket = fake.ticket(_ticket_id(desk))
            assert [await _deliver(house, desk) for _ in range(3)] == [200] * 3
            await eventually(lambda: len(ticket.notes) == 1, within_s=10)
            assert ticket.tags == ["tc_billing"]
            corrected = await house.client.post(
                "/feedback", json={"id": ticket.id, "account": "chatwoot", "label": "login"}
            )
            assert corrected.status_code == 200
            assert corrected.json()["predicted"]["label"] == "billing"
            name = "classifier_webhook_deliveries_total"
            assert await house.metric(name, outcome="accepted") == 1
            assert await house.metric(name, outcome="duplicate") == 2
            assert await house.metric("classifier_write_backs_total", status="written") == 1
    finally:
        redis.stop()


async def test_wrong_deliveries_are_refused_and_never_a_500(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """No signature, a wrong one, an unknown account, too much: each its 4xx, and it is counted."""
    async with looped(tmp_path, short_model, long_model) as (house, _, desk):
        sample = desk.sample(house.url, time.time())
        post = house.client.post
        assert (await post("/webhooks/chatwoot", content=sample.body)).status_code == 401
        forged = await post(
            "/webhooks/chatwoot", content=sample.body + b" ", headers=sample.headers
        )
        assert forged.status_code == 401
        assert forged.headers["content-type"].startswith("application/problem+json")
        assert (await post("/webhooks/nobody", content=b"{}")).status_code == 404
        assert (await post("/webhooks/chatwoot", content=b"x" * 300_000)).status_code == 413
        name = "classifier_webhook_deliveries_total"
        assert await house.metric(name, outcome="not_genuine") == 2


async def test_feedback_wants_a_label_of_the_taxonomy_and_a_ledger(
    config_file: Path, tmp_path: Path
) -> None:
    """A wrong label is a 422 that lists the right ones; without a ledger the answer says what to set."""
    async with service(config_file, {"CLASSIFIER_DATA_DIR": str(tmp_path / "data")}) as house:
        answered = await house.client.post("/classify", json={"id": "t1", "body": "charged twice"})
        assert answered.status_code == 200
        good = await house.client.post("/feedback", json={"id": "t1", "label": "login", "by": "me"})
        assert good.json()["predicted"]["label"] == answered.json()["label"]
        for body, words in (
            ({"id": "t1", "label": "refunds"}, "billing, login, other"),
            ({"id": "t1", "lable": "login"}, "did you mean 'label'"),
            ({"id": "", "label": "login"}, "id"),
        ):
            bad = await house.client.post("/feedback", json=body)
            assert bad.status_code == 422
            assert words in bad.json()["detail"]
    async with service(config_file) as house:
        none = await house.client.post("/feedback", json={"id": "t1", "label": "login"})
        assert none.status_code == 404
        assert "CLASSIFIER_DATA_DIR" in none.json()["detail"]


def test_helpdesks_without_a_place_are_refused_at_start(tmp_path: Path) -> None:
    """Events that must not be lost need a place: the message says which variables give one."""
    from classifier.app import create_app  # noqa: PLC0415
    from classifier.settings import read_settings  # noqa: PLC0415

    config = write_config(
        tmp_path,
        "http://127.0.0.1:1/v1",
        "http://127.0.0.1:1/v1",
        DESK.format(url="http://127.0.0.1:1"),
    )
    environ = {"CLASSIFIER_CONFIG": str(config), "HOOK_SECRET": SECRET, "API_KEY": "x"}
    with pytest.raises(ConfigError, match="CLASSIFIER_DATA_DIR"):
        create_app(read_settings(environ), environ)
    same = {"CLASSIFIER_REDIS_URL": "redis://h:1/0", "CLASSIFIER_INBOX_REDIS_URL": "redis://h:1/0"}
    environ |= {**same, "CLASSIFIER_CACHE_SECRET": "a secret of sixteen"}
    with pytest.raises(ConfigError, match="the same"):
        create_app(read_settings(environ), environ)


async def test_tickets_are_in_the_ledger_when_the_service_has_ended(
    config_file: Path, tmp_path: Path
) -> None:
    """Every answered ticket is a line of the ledger, also the last ones before the end."""
    async with service(config_file, {"CLASSIFIER_DATA_DIR": str(tmp_path / "data")}) as house:
        for number in range(20):
            await house.client.post("/classify", json={"id": f"t{number}", "body": "charged twice"})
    from classifier.config.ledger import Ledger as LedgerConfig  # noqa: PLC0415
    from classifier.metrics import Metrics  # noqa: PLC0415

    ledger = Ledger(tmp_path / "data" / "ledger.sqlite", LedgerConfig(), Metrics().helpdesks)
    await ledger.open()
    lines = [line async for line in ledger.export()]
    await ledger.aclose()
    assert len(lines) == 20
