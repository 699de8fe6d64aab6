from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from classifier.simulator.asgi import ASGIApp
from classifier.simulator.config import Latency, SimulatedModel, SimulatorConfig, load
from classifier.simulator.server import build
from classifier.taxonomy import Label, Taxonomy

TINY = Taxonomy(
    name="tiny",
    labels=(
        Label(name="billing", examples=("I was charged twice.",)),
        Label(name="login", examples=("I forgot my password.",)),
        Label(name="other"),
    ),
)
LESSONS = [("Zahlung doppelt", "billing"), ("Kennwort vergessen", "login")]
WOBBLY = Latency(base_ms=4.0, sigma=1.0)


@asynccontextmanager
async def asked(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an app that runs in the test's own loop."""
    transport = httpx2.ASGITransport(app=app)
    headers = {"authorization": "Bearer any"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://simulated", headers=headers
    ) as client:
        yield client


async def answer(client: httpx2.AsyncClient, model: str, text: str) -> httpx2.Response:
    """One completion without instructions."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "logprobs": True}
    return await client.post("/v1/chat/completions", json=body)


async def test_skills_differ_by_what_they_learned() -> None:
    """Only a model that reads as a fine-tune knows words of the training tickets."""
    models = (SimulatedModel(match="tuned", reads="tickets"), SimulatedModel(match="base"))
    async with asked(build(SimulatorConfig(models=models), TINY, LESSONS, seed=1)) as client:
        tuned, base = [await answer(client, name, "Kennwort") for name in ("tuned", "base")]
    assert tuned.json()["choices"][0]["message"]["content"] == "login"
    first = [one.json()["choices"][0]["logprobs"]["content"][0] for one in (tuned, base)]
    assert first[0]["logprob"] > first[1]["logprob"] or first[0]["token"] != first[1]["token"]


async def test_same_seed_takes_the_same_times() -> None:
    """Two simulators with one seed answer the same calls in the same order equally slowly."""
    config = SimulatorConfig(models=(SimulatedModel(match="*", latency=WOBBLY),))
    times = []
    for seed in (1, 1, 2):
        async with asked(build(config, TINY, seed=seed)) as client:
            found = [await answer(client, "m", "hello") for _ in range(6)]
        times.append([one.headers["openai-processing-ms"] for one in found])
    assert times[0] == times[1] != times[2]


async def test_shipped_config_is_served() -> None:
    """What is shipped can be started, with and without training tickets."""
    for lessons in (LESSONS, []):
        async with asked(build(load(), TINY, lessons, seed=1)) as client:
            listed = (await client.get("/v1/models")).json()["data"]
        assert "gpt-6-luna" in [one["id"] for one in listed]


async def test_a_cut_is_no_error_of_the_server(
    http: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees a broken protocol, the log stays silent."""
    body = {"model": "ft:a", "messages": [{"role": "user", "content": "x"}]}
    with caplog.at_level(logging.INFO), pytest.raises(httpx2.RemoteProtocolError):
        await http.post("/v1/chat/completions", json=body, headers={"x-simulate-fault": "cut"})
    assert [one for one in caplog.records if one.name == "uvicorn.error"] == []
