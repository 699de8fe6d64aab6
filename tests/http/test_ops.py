"""The doors for operators: alive whatever happens, ready when something can answer."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import classifier
from tests.support.house import Service, service, write_config
from tests.support.redis_server import free_port
from tests.support.upstream import Upstream, served
from tests.support.waiting import eventually


def _dead() -> str:
    return f"http://127.0.0.1:{free_port()}/v1"


async def _is_ready(house: Service) -> bool:
    return (await house.client.get("/readyz")).status_code == 200


async def test_healthz_never_asks_anybody(house: Service, short_model: Upstream) -> None:
    """Alive is a matter of the process: no call to a model, however often it is asked."""
    for _ in range(100):
        answer = await house.client.get("/healthz")
        assert (answer.status_code, answer.text) == (200, "ok")
    assert short_model.calls == []
    assert await house.metric("classifier_attempts_total") == 0


async def test_head_is_answered_like_get(tmp_path: Path, house: Service) -> None:
    """A prober that asks for the head alone hears the same status, without a body."""
    config = write_config(tmp_path, _dead(), _dead())
    async with service(config) as unready:
        for asked in (house, unready):
            for door in ("/healthz", "/readyz"):
                answer = await asked.client.head(door)
                assert answer.status_code == (await asked.client.get(door)).status_code
                assert answer.content == b""


async def test_healthz_outlives_everything_around(tmp_path: Path) -> None:
    """Without models and without Redis the process is alive, and says so at once; not ready."""
    environ = {
        "CLASSIFIER_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "CLASSIFIER_CACHE_SECRET": "a secret of sixteen or more",
    }
    async with service(write_config(tmp_path, _dead(), _dead()), environ) as house:
        started = perf_counter()
        assert (await house.client.get("/healthz")).text == "ok"
        assert perf_counter() - started < 0.5
        answer = await house.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["paths"] == {"short": "down", "long": "down"}


async def test_readyz_tells_why(house: Service) -> None:
    """One word for the load balancer, and for whoever asks why: paths, cache, config, version."""
    answer = await house.client.get("/readyz")
    assert answer.status_code == 200
    found = answer.json()
    breakers = found.pop("breakers")
    assert all(breaker.pop("for_s") >= 0.0 for breaker in breakers.values())
    assert breakers == {name: {"state": "closed", "reason": None} for name in ("short", "long")}
    assert found == {
        "ready": True,
        "draining": False,
        "paths": {"short": "up", "long": "up"},
        "cache": "memory",
        "config": "live",
        "version": classifier.__version__,
    }


async def test_one_path_is_enough(tmp_path: Path, long_model: Upstream) -> None:
    """A path that is down is named; with another one the service is ready, and answers."""
    async with service(write_config(tmp_path, _dead(), long_model.url)) as house:
        answer = await house.client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["paths"] == {"short": "down", "long": "up"}
        assert await house.metric("classifier_path_up", path="short") == 0
        assert await house.metric("classifier_path_up", path="long") == 1
        assert (await house.classify("x")).json()["path"] == "long"


async def test_ready_again_when_the_model_is_back(tmp_path: Path) -> None:
    """A model that returns is noticed within seconds, without a ticket and a restart."""
    model = Upstream()
    async with service(write_config(tmp_path, model.url, model.url)) as house:
        assert not await _is_ready(house)
        async with served(model, model.port):
            await eventually(lambda: _is_ready(house), within_s=10.0)

            async def both_up() -> bool:
                return await house.metric("classifier_path_up") == 2

            await eventually(both_up, within_s=10.0)
            assert all("please ignore" in call.ticket for call in model.calls)
            assert (await house.classify("x")).status_code == 200


async def test_failing_tickets_end_readiness(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """A server that is there but fails every ticket is down after five of them; replies end that."""
    for model in (short_model, long_model):
        model.answers({"error": {"message": "broken"}}, status=500)
    assert await _is_ready(house)
    for n in range(5):
        assert (await house.classify(f"{n}")).status_code == 503
    answer = await house.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["breakers"]["short"]["state"] == "open"
    assert answer.json()["breakers"]["short"]["reason"] == "server_error"
    long_model.respond = Upstream().respond
    await eventually(lambda: _is_ready(house), within_s=10.0)
    assert (await house.classify("4")).json()["path"] == "long"
    assert (await house.client.get("/readyz")).json()["paths"] == {"short": "down", "long": "up"}


async def test_redis_away_leaves_it_ready(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A cache that is gone is told, and takes nobody out of service."""
    environ = {
        "CLASSIFIER_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "CLASSIFIER_CACHE_SECRET": "a secret of sixteen or more",
    }
    config = write_config(tmp_path, short_model.url, long_model.url)
    async with service(config, environ) as house:
        for n in range(6):
            assert (await house.classify(f"{n}")).status_code == 200
        answer = await house.client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["cache"] == "memory, redis away"
        assert await house.metric("classifier_cache_redis_away") == 1
