"""What the console is told: the same figures as the metrics, exact, live, and only with a key."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from classifier.recent import Recent
from classifier.records import Cost
from tests.support.house import Service, edited, service, write_config
from tests.support.logged import logged
from tests.support.redis_server import RedisServer
from tests.support.upstream import Upstream, completion
from tests.support.waiting import eventually

SHADOWED = """
[[routes]]
name = "default"
path = "short"
shadow = { path = "long", share = 1.0 }
"""


async def _state(house: Service) -> dict[str, Any]:
    answer = await house.client.get("/console/state")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_saving_is_what_was_paid_against_the_base_path(house: Service) -> None:
    """Once from the model, twice from the cache: 32,400 nano-dollars against 3 x 127,200 on `long`."""
    before = await _state(house)
    assert (before["measured_savings"], before["not_compared_today"]) == (None, 0)
    for _ in range(3):
        assert (await house.classify("the same")).status_code == 200
    found = await _state(house)
    # 100 in and 2 out; of the 100 the ticket has 40, and `long` adds 800 of its own
    assert found["paid_today_usd"] == "0.0000324"
    assert found["base_path_today_usd"] == "0.0003816"
    assert found["measured_savings"] == pytest.approx(1 - 32_400 / 381_600)
    assert (found["claimed_savings"], found["base_path"]) == (0.9, "long")
    assert found["tickets_today"] == 3


async def test_shadow_calls_are_no_price_of_answers(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A shadow call is paid for today, but not for the answer: the saving leaves it out."""
    async with service(write_config(tmp_path, short_model.url, long_model.url, SHADOWED)) as house:
        await house.classify("watched")
        await eventually(lambda: len(long_model.calls) == 1)

        async def paid() -> bool:
            return bool((await _state(house))["cost_today_usd"] == "0.0000486")

        await eventually(paid)
        found = await _state(house)
    assert (found["paid_today_usd"], found["base_path_today_usd"]) == ("0.0000324", "0.0001272")


async def test_claims_are_judged_by_tickets_of_one_path(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """An escalated ticket has the time and cost of two paths in it: it counts for neither's claim."""
    escalating = '[[routes]]\nname = "d"\npath = "short"\nescalate = { to = "long", below = 0.6 }\n'
    unsure = completion("billing")
    unsure["choices"][0]["logprobs"]["content"][0]["logprob"] = -1.5
    config = write_config(tmp_path, short_model.url, long_model.url, escalating)
    async with service(config) as house:
        await house.classify("sure")
        await house.classify("asked for", path="long")
        short_model.answers(unsure)
        assert (await house.classify("unsure")).json()["escalated_from"] == "short"
        found = await _state(house)
    assert {path["name"]: path["tickets"] for path in found["paths"]} == {"short": 1, "long": 1}
    assert found["tickets_today"] == 3


async def test_saving_says_when_it_is_simulated(house: Service, short_model: Upstream) -> None:
    """One simulated answer is enough for the figure to be marked, one from the cache as well."""
    await house.classify("real")
    assert not (await _state(house))["savings_simulated"]
    short_model.answers(completion("billing"), headers={"x-simulated": "1"})
    await house.classify("played")
    assert (await _state(house))["savings_simulated"]


async def test_tickets_without_usage_are_not_compared(
    house: Service, short_model: Upstream
) -> None:
    """An answer whose tokens nobody told is counted apart, not as free."""
    short_model.answers(completion("billing", usage=None))
    await house.classify("x")
    found = await _state(house)
    assert (found["measured_savings"], found["not_compared_today"]) == (None, 1)


def test_midnight_begins_anew() -> None:
    """A new UTC day starts from nothing: tickets, money and the saving."""
    days = [date(2026, 11, 22)]
    recent = Recent(lambda: days[-1])
    recent.compared({"long": Cost(50), "short": Cost(None, "unknown")})
    assert (recent.saving("long").ratio, recent.saving("short").unknown) == (1.0, 1)
    days.append(days[-1] + timedelta(days=1))
    assert (recent.saving("long").ratio, recent.saving("short").unknown) == (None, 0)
    assert (recent.day.tickets, recent.day.nanodollars) == (0, 0)


async def test_cache_is_told_as_it_is(
    tmp_path: Path, short_model: Upstream, long_model: Upstream, redis_server: RedisServer
) -> None:
    """The state is the running cache's, not the file's; a cache that is off says so everywhere."""
    environ = {
        "CLASSIFIER_REDIS_URL": redis_server.url,
        "CLASSIFIER_CACHE_SECRET": "a secret of sixteen or more",
    }
    config = write_config(tmp_path, short_model.url, long_model.url)
    async with service(config, environ) as house:
        assert (await _state(house))["cache"] == "memory, redis"
        edited(config, "[claims]", "[cache]\nenabled = false\n[claims]")

        async def waits() -> bool:
            return bool((await _state(house))["awaiting_restart"])

        await eventually(waits, within_s=15.0)
        assert (await _state(house))["cache"] == "memory, redis"
        await house.classify("still")
        assert (await house.classify("still")).json()["source"] == "cache"
    async with service(config, environ) as house:
        state, ready = await _state(house), (await house.client.get("/readyz")).json()
        assert (state["cache"], ready["cache"]) == ("off", "off")
        assert state["awaiting_restart"] == []


async def test_edits_that_need_a_restart_are_told(house: Service, config_file: Path) -> None:
    """Log, metric and console name the keys of an edit that is not live; undone, they are quiet."""
    text = config_file.read_text()  # noqa: ASYNC240 -- a few lines
    edited(config_file, 'auth = "none"', 'auth = "bearer"\nconsole = false')
    edited(config_file, "[claims]", "[cache]\nttl_s = 60\nmemory_entries = 5\n[claims]")
    name = "classifier_config_keys_awaiting_restart"
    with logged() as log:

        async def counted(keys: int) -> bool:
            return await house.metric(name) == keys

        await eventually(lambda: counted(3), within_s=15.0)
        waiting = ["server.auth", "server.console", "cache.memory_entries"]
        assert (await _state(house))["awaiting_restart"] == waiting  # and the console still answers
        assert '"config.restart_needed","keys":["server.auth"' in log.getvalue()
        config_file.write_text(text)  # noqa: ASYNC240
        await eventually(lambda: counted(0), within_s=15.0)
    assert (await _state(house))["awaiting_restart"] == []
    assert log.getvalue().count("config.restart_needed") == 1


async def test_overridden_auth_waits_for_nothing(config_file: Path) -> None:
    """CLASSIFIER_AUTH rules before and after a restart: an edit of the file's is no news."""
    async with service(config_file, {"CLASSIFIER_AUTH": "none"}) as house:
        edited(config_file, 'auth = "none"', 'auth = "bearer"')

        async def reloaded() -> bool:
            return await house.metric("classifier_config_reloads_total") == 1

        await eventually(reloaded, within_s=15.0)
        assert (await _state(house))["awaiting_restart"] == []


async def test_console_can_be_switched_off(config_file: Path) -> None:
    """With `console = false` neither the page nor its state exists; tickets do not notice."""
    edited(config_file, 'auth = "none"', 'auth = "none"\nconsole = false')
    async with service(config_file) as house:
        for door in ("/", "/console/state"):
            assert (await house.client.get(door)).status_code == 404
        assert (await house.classify("x")).status_code == 200


async def test_state_wants_a_key_and_the_page_holds_nothing(config_file: Path) -> None:
    """With keys the page is open, but whatever it shows is behind the same key as a ticket."""
    key = "a-key-of-a-test-0123"
    environ = {"CLASSIFIER_AUTH": "bearer", "CLASSIFIER_API_KEYS": key}
    async with service(config_file, environ) as house:
        page = await house.client.get("/")
        assert (page.status_code, "default-src 'none'" in page.headers["content-security-policy"]) == (
            200, True,
        )  # fmt: skip
        assert "ft:base" not in page.text
        assert (await house.client.get("/console/state")).status_code == 401
        headers = {"Authorization": f"Bearer {key}"}
        assert (await house.client.get("/console/state", headers=headers)).status_code == 200
