"""What a client sees when the day's money runs out: cached answers, shorter plans, and honest 503s."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from classifier.errors import ConfigError
from tests.support.house import Service, edited, service, write_config
from tests.support.redis_server import RedisServer
from tests.support.upstream import Scripted, Upstream, completion, served
from tests.support.waiting import eventually

PER_CALL = 0.0000324  # dollars: 100 input and 2 output tokens on path `short`
SHADOW = """
[[routes]]
name = "watched"
path = "short"
shadow = { path = "long", share = 1.0 }
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(config_file: Path) -> Write:
    """Adds tables to the test's config."""
    plain = config_file.read_text()

    def add(more: str) -> Path:
        config_file.write_text(f"{plain}\n{more}")
        return config_file

    return add


def _unsure() -> Scripted:
    token = {"token": "billing", "logprob": -3.0, "bytes": None, "top_logprobs": []}
    body = completion("billing")
    body["choices"][0]["logprobs"] = {"content": [token]}
    return Scripted(body)


async def _spent(house: Service, scope: str = "total") -> float:
    return await house.metric("classifier_budget_spent_dollars", scope=scope)


async def test_spent_budget_is_a_503_until_the_reset(write: Write, short_model: Upstream) -> None:
    """Nobody is asked any more; what is known is still answered; Retry-After names the next day."""
    config = write("[budget]\nusd_per_day = 0.0002\n")
    async with service(config) as house:
        assert (await house.classify("known")).json()["source"] == "model"
        answers = [await house.classify(f"ticket {number}") for number in range(10)]
        calls = len(short_model.calls)
        refused = answers[-1]
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:classifier:problem:budget-spent"
        midnight = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        left_s = (midnight - datetime.now(UTC)).total_seconds()
        assert abs(int(refused.headers["Retry-After"]) - left_s) < 30
        assert (await house.classify("known")).json()["source"] == "cache"
        assert len(short_model.calls) == calls
        assert (await house.client.get("/readyz")).status_code == 200
        assert await house.metric("classifier_budget_step", step="cache_only") == 1
        assert await house.metric("classifier_budget_alarm_ratio") == 1
        assert await house.metric("classifier_tickets_total", outcome="budget_spent") >= 1
        spent = await _spent(house)
        assert spent == pytest.approx(await house.metric("classifier_cost_dollars_total"))
        assert calls * PER_CALL <= spent + 1e-12 <= 0.0002


async def test_batch_goes_on_with_what_is_known(write: Write) -> None:
    """In a batch only the lines that would cost money fail."""
    config = write("[budget]\nusd_per_day = 0.0002\n")
    async with service(config) as house:
        await house.classify("known")
        for number in range(10):
            await house.classify(f"ticket {number}")
        lines = '{"body":"known"}\n{"body":"new"}\n'
        headers = {"Content-Type": "application/x-ndjson"}
        answer = await house.client.post("/classify/batch", content=lines, headers=headers)
    first, second = answer.text.splitlines()
    assert '"source":"cache"' in first
    assert "budget-spent" in second


async def test_cheapest_path_only(
    write: Write, short_model: Upstream, long_model: Upstream
) -> None:
    """An unsure answer is given as it is, and not remembered: the whole plan might say otherwise."""
    steps = 'steps = [{ at = 0.0, give_up = "cheapest" }]'
    hedge = '[paths.short.hedge]\nto = "long"\nwarmup_s = 0.01\n'  # never: long is the dear one
    config = write(f"[budget]\nusd_per_day = 1\n{steps}\n{hedge}")
    edited(config, "input = 0.15", "input = 1.50")
    short_model.delay_s = 0.1
    short_model.answers(_unsure().body)
    async with service(config) as house:
        found = [(await house.classify("unsure")).json()["source"] for _ in range(2)]
        assert found == ["model", "model"]
        short_model.answers(completion("billing"))
        found = [(await house.classify("sure")).json()["source"] for _ in range(2)]
        assert found == ["model", "cache"]
        short_model.answers({}, 500)
        assert (await house.classify("broken")).json()["type"].endswith("no-path-answered")
    assert not long_model.calls


async def test_shadow_calls_go_first(
    write: Write, short_model: Upstream, long_model: Upstream
) -> None:
    """Measuring stops before answering does."""
    steps = 'steps = [{ at = 0.0, give_up = "no_shadows" }]'
    async with service(write(f"{SHADOW}[budget]\nusd_per_day = 1\n{steps}\n")) as house:
        assert (await house.classify("ticket")).status_code == 200
    assert (len(short_model.calls), len(long_model.calls)) == (1, 0)


async def test_every_attempt_is_booked(
    write: Write, short_model: Upstream, long_model: Upstream
) -> None:
    """Escalations, fallbacks, shadow calls: the budget has spent what the cost counter has counted."""
    async with service(write(f"{SHADOW}[budget]\nusd_per_day = 1\n")) as house:
        for number in range(5):
            assert (await house.classify(f"ticket {number}")).status_code == 200
        short_model.answers({}, 500)
        await house.classify("fails")

        async def all_ended() -> bool:
            return await house.metric("classifier_shadow_comparisons_total") == 5

        await eventually(all_ended)
        counted = await house.metric("classifier_cost_dollars_total")
        assert await _spent(house) == pytest.approx(counted)
        assert counted > 5 * PER_CALL
        reserved = await house.metric("classifier_budget_reserved_dollars", scope="total")
        assert reserved == pytest.approx(1 - counted)


async def test_cancelled_call_counts_as_set_aside(write: Write, short_model: Upstream) -> None:
    """A call that is cut off may have been charged: it counts with all that was set aside."""
    short_model.hangs()
    config = write("[budget]\nusd_per_day = 1\n")
    async with service(config) as house:
        answer = await house.classify("hangs", {"X-Timeout-Ms": "200"})
        assert answer.status_code == 504
        await eventually(lambda: _is_more(house, PER_CALL))


async def _is_more(house: Service, dollars: float) -> bool:
    return await _spent(house) > dollars


async def test_path_without_money_is_passed_over(
    write: Write, short_model: Upstream, long_model: Upstream
) -> None:
    """A path's own cap sends its tickets on to the fallback, and the path is not down for it."""
    async with service(write("[budget.paths]\nshort = 0\n")) as house:
        answer = (await house.classify("ticket")).json()
        assert answer["path"] == "long"
        for number in range(5):
            await house.classify(f"ticket {number}")
        ready = (await house.client.get("/readyz")).json()
        assert ready["paths"] == {"short": "up", "long": "up"}
        assert await house.metric("classifier_attempts_total", outcome="budget") == 6
    assert not short_model.calls


async def test_replicas_share_one_budget(write: Write, redis_server: RedisServer) -> None:
    """Two services with one Redis spend one cap between them, and say the same about it."""
    patient = "[cache]\nenabled = false\nredis_timeout_s = 1\n"
    config = write(f"{patient}[budget]\nusd_per_day = 0.002\n")
    edited(config, "timeout_s = 1.0", "timeout_s = 10.0")
    environ = {
        "CLASSIFIER_REDIS_URL": redis_server.url,
        "CLASSIFIER_CACHE_SECRET": "a secret of sixteen characters",
    }
    async with service(config, environ) as one, service(config, environ) as other:
        statuses = []
        for number in range(60):
            answers = await asyncio.gather(
                one.classify(f"one {number}"), other.classify(f"other {number}")
            )
            statuses += [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        spent = await one.metric("classifier_cost_dollars_total")
        spent += await other.metric("classifier_cost_dollars_total")
        assert 0.8 * 0.002 <= spent <= 0.002
    async with service(config, environ) as third:  # what was spent outlives who spent it
        await eventually(lambda: _is_more(third, 0.999 * spent))


async def test_budget_that_comes_later_is_shared(write: Write, redis_server: RedisServer) -> None:
    """A budget added by a reload counts for all replicas, with the cache switched off too."""
    environ = {
        "CLASSIFIER_REDIS_URL": redis_server.url,
        "CLASSIFIER_CACHE_SECRET": "a secret of sixteen characters",
    }
    async with service(write("[cache]\nenabled = false\n"), environ) as house:
        write("[cache]\nenabled = false\n[budget]\nusd_per_day = 1\n")

        async def is_shared() -> bool:
            await house.classify("ticket")
            return b"classifier:budget" in redis_server.command("KEYS", "classifier:budget:*")

        await eventually(is_shared, within_s=15.0)


async def test_ready_again_without_money(tmp_path: Path) -> None:
    """With nothing left for a probe, a server that is back is found by its connection, unpaid."""
    model = Upstream()
    budget = "[budget]\nusd_per_day = 0.000000001\n"
    async with service(write_config(tmp_path, model.url, model.url, budget)) as house:
        assert (await house.client.get("/readyz")).status_code == 503
        async with served(model, model.port):

            async def all_closed() -> bool:
                found = (await house.client.get("/readyz")).json()["breakers"].values()
                return {breaker["state"] for breaker in found} == {"closed"}

            await eventually(all_closed, within_s=15.0)
            assert not model.calls
            assert await house.metric("classifier_attempts_total", outcome="budget") == 0


async def test_lost_hedge_costs_the_same_in_both_books(write: Write, short_model: Upstream) -> None:
    """A second call that was hung up on: the budget has spent what the cost counter has counted."""
    short_model.delay_s = 0.3
    config = write("[paths.short.hedge]\nwarmup_s = 0.1\n[budget]\nusd_per_day = 1\n")
    async with service(config) as house:
        assert (await house.classify("ticket")).status_code == 200

        async def hung_up() -> bool:
            return await house.metric("classifier_attempts_total", outcome="cancelled") == 1

        await eventually(hung_up)
        counted = await house.metric("classifier_cost_dollars_total")
        assert await _spent(house) == pytest.approx(counted)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("usd_per_day = -1", "from 0 to"),
        ("usd_per_day = 0.0000000001", "finer than a nano-dollar"),
        ("usd_per_day = inf", "from 0 to"),
        ('resets_at = "24:00"', "resets_at"),
        ('time_zone = "Berlin"', "Berlin"),
        ("paths = { unknown = 1 }", "unknown"),
        ('steps = [{ at = 1.0, give_up = "queue" }]', "give_up"),
        (
            'steps = [{ at = 0.5, give_up = "cheapest" }, { at = 0.6, give_up = "no_shadows" }]',
            "must rise",
        ),
        (
            'steps = [{ at = 0.6, give_up = "no_shadows" }, { at = 0.5, give_up = "cheapest" }]',
            "must rise",
        ),
    ],
)
async def test_unusable_budget_stops_the_start(write: Write, table: str, complaint: str) -> None:
    """What cannot be meant is refused with its place, before a ticket is taken."""
    config = write(f"[budget]\n{table}\n")
    with pytest.raises(ConfigError, match=complaint):
        async with service(config):
            pass
