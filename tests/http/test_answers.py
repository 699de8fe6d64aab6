"""What POST /classify answers: exactly the published keys, types, units and promises."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from tests.support.contract import assert_problem
from tests.support.house import Service, service, write_config
from tests.support.upstream import Upstream, completion

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEYS = {
    "id", "label", "confidence", "path", "model", "source", "usage", "cost_usd", "cost_status",
    "latency_ms", "taxonomy", "prompt", "simulated",
}  # fmt: skip
STAGE = re.compile(r"(?:^|, )([a-z]+);dur=([0-9]+\.[0-9]+)(?=,|$)")
DECIMAL = re.compile(r"[0-9]+(\.[0-9]*[1-9])?")


@pytest.fixture(autouse=True)
def _as_new(models: tuple[Upstream, Upstream]) -> None:
    for model in models:
        model.answers(completion("billing"))
        model.delay_s = 0.0


def _usage(prompt: int, output: int, **details: int) -> dict[str, Any]:
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output}
    return {**usage, "total_tokens": prompt + output, "prompt_tokens_details": details or None}


async def test_answer_has_exactly_the_published_keys(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """Every key of the contract with its type and its value, and none beside them."""
    models[0].answers(completion("billing", usage=_usage(120, 3, cached_tokens=20)))
    answer = (await shared_house.classify("keys and types")).json()
    assert set(answer) == KEYS
    assert (answer["label"], answer["path"], answer["model"]) == (
        "billing", "short", "ft:base:org::1",
    )  # fmt: skip
    assert answer["source"] == "model"
    assert answer["confidence"] == pytest.approx(0.99005)  # exp(-0.01)
    assert answer["usage"] == {"input_tokens": 120, "cached_input_tokens": 20, "output_tokens": 3}
    # 100 x 0.30 + 20 x 0.15 + 3 x 1.20 dollars per million
    assert (answer["cost_usd"], answer["cost_status"]) == ("0.0000366", "exact")
    assert set(answer["latency_ms"]) == {"total", "model", "overhead"}
    assert re.fullmatch(r"test@[0-9a-f]{16}", answer["taxonomy"])
    assert re.fullmatch(r"short\.txt@[0-9a-f]{16}", answer["prompt"])
    assert answer["simulated"] is False


async def test_escalated_answer_says_from_where(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """`escalated_from` is there exactly when another path was asked first; both are paid for."""
    models[0].answers(completion("no label", usage=_usage(100, 2, cached_tokens=0)))
    models[1].answers(completion("login", usage=_usage(900, 1, cached_tokens=0)))
    answer = (await shared_house.classify("escalated")).json()
    assert set(answer) == KEYS | {"escalated_from"}
    assert (answer["escalated_from"], answer["path"], answer["label"]) == ("short", "long", "login")
    # 100 x 0.30 + 2 x 1.20 on short, 900 x 0.15 + 1 x 0.60 on long
    assert answer["cost_usd"] == "0.000168"
    assert answer["usage"] == {"input_tokens": 1_000, "cached_input_tokens": 0, "output_tokens": 3}


async def test_unknown_details_are_null_not_zero(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """An endpoint that does not say how much was cached leaves the detail unknown, the cost a bound."""
    models[0].answers(completion("billing", usage=_usage(100, 2)))
    answer = (await shared_house.classify("no details")).json()
    assert answer["usage"]["cached_input_tokens"] is None
    assert (answer["cost_usd"], answer["cost_status"]) == ("0.0000324", "upper_bound")


async def test_unknown_usage_is_an_unknown_cost(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """Without a usage object there is no cost: null, not 0."""
    models[0].answers(completion("billing", usage=None))
    answer = (await shared_house.classify("no usage")).json()
    assert (answer["cost_usd"], answer["cost_status"]) == (None, "unknown")


async def test_partly_known_cost_says_so(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """A sum with a piece missing is partial: what is known, marked as not all."""
    models[0].answers(completion("no label", usage=None))
    models[1].answers(completion("login", usage=_usage(900, 1, cached_tokens=0)))
    answer = (await shared_house.classify("partly known")).json()
    assert (answer["cost_usd"], answer["cost_status"]) == ("0.0001356", "partial")


async def test_unknown_price_is_never_zero(
    models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """A model that the price table does not know costs null and says unknown."""
    config = write_config(tmp_path, models[0].url, models[1].url)
    config.write_text(config.read_text().replace("ft:base:org::1", "mystery-7b"))
    async with service(config) as house:
        answer = (await house.classify("x")).json()
        assert (answer["cost_usd"], answer["cost_status"]) == (None, "unknown")
        assert await house.metric("classifier_path_price_known", path="short") == 0
        assert await house.metric("classifier_path_price_known", path="long") == 1
        assert await house.metric("classifier_uncertain_costs_total", status="unknown") == 1
        cached = (await house.classify("x")).json()
        assert (cached["cost_usd"], cached["cost_status"]) == ("0", "exact")


@pytest.mark.parametrize(
    ("prompt", "output", "cost"),
    [
        (0, 0, "0"),
        (1, 0, "0.0000003"),
        (0, 1, "0.0000012"),
        (1_000_000, 0, "0.3"),
        (10_000_000, 0, "3"),
        (999_999_999, 999_999_999, "1499.9999985"),
    ],
)
async def test_cost_is_a_plain_decimal(
    shared_house: Service,
    models: tuple[Upstream, Upstream],
    prompt: int,
    output: int,
    cost: str,
) -> None:
    """From a third of a microdollar up, without exponent, rounding noise or trailing zeros."""
    models[0].answers(completion("billing", usage=_usage(prompt, output, cached_tokens=0)))
    answer = (await shared_house.classify(f"{prompt} and {output} tokens")).json()
    assert answer["cost_usd"] == cost
    assert DECIMAL.fullmatch(cost)


async def test_cached_answer_costs_nothing_and_says_so(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """A remembered answer has the same label, no tokens, no cost and no time in the model."""
    paid = (await shared_house.classify("remember me")).json()
    free = (await shared_house.classify("remember me")).json()
    same = ("label", "confidence", "path", "model", "taxonomy", "prompt", "simulated")
    assert {key: free[key] for key in same} == {key: paid[key] for key in same}
    assert free["source"] == "cache"
    assert free["usage"] == {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0}
    assert (free["cost_usd"], free["cost_status"]) == ("0", "exact")
    assert free["latency_ms"]["model"] == 0
    assert free["id"] != paid["id"]


async def test_server_timing_agrees_with_the_body(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """The header's stages are the body's, in milliseconds; overhead = total - model."""
    models[0].delay_s = 0.05
    for _ in range(2):  # from the model, then from the cache
        answer = await shared_house.classify("stages")
        stages = dict(STAGE.findall(answer.headers["server-timing"]))
        assert set(stages) == {"cache", "model", "overhead", "total"}
        latency = answer.json()["latency_ms"]
        for stage, value in latency.items():
            assert float(stages[stage]) == pytest.approx(value, abs=0.011)
        assert latency["overhead"] == pytest.approx(latency["total"] - latency["model"], abs=0.011)
        assert float(stages["cache"]) <= latency["overhead"] + 0.011
    assert latency["total"] < 50


async def test_time_in_the_model_is_its_own(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """A model that takes 200 ms is not charged to the service, nor the service's time to it."""
    models[0].delay_s = 0.2
    started = perf_counter()
    latency = (await shared_house.classify("slow model")).json()["latency_ms"]
    elapsed_ms = (perf_counter() - started) * 1_000
    assert 200 <= latency["model"] <= latency["total"] <= elapsed_ms
    assert latency["overhead"] < 100


@pytest.mark.parametrize("sent", ["a", "Trace-1.2:3_4", "x" * 128])
async def test_harmless_request_id_comes_back(shared_house: Service, sent: str) -> None:
    """The caller's X-Request-Id is in the answer, and in the problem when there is one."""
    answer = await shared_house.classify("x", {"X-Request-Id": sent})
    problem = await shared_house.client.get("/nope", headers={"X-Request-Id": sent})
    assert answer.headers["x-request-id"] == problem.headers["x-request-id"] == sent
    assert problem.json()["request_id"] == sent


@pytest.mark.parametrize(
    "sent", ["", "with space", "x" * 129, "semi;colon", '"quoted"', "caf\xe9", "{$(id)}"]
)
async def test_other_request_id_is_replaced(shared_house: Service, sent: str) -> None:
    """What could break a log line or a header is replaced by an id of ours."""
    headers = [(b"X-Request-Id", sent.encode("latin-1"))]
    answer = await shared_house.client.post("/classify", json={"body": "x"}, headers=headers)
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


async def test_given_id_comes_back(shared_house: Service) -> None:
    """A ticket's id is the answer's, letter by letter."""
    for ticket_id in ("4711", "ZD-1/ä ☃", "a\nb\x00", "x" * 256):
        ticket = {"id": ticket_id, "body": "same text"}
        answer = await shared_house.client.post("/classify", json=ticket)
        assert answer.json()["id"] == ticket_id


async def test_missing_ids_are_unique(shared_house: Service) -> None:
    """Tickets without an id, or with an empty one, get one each."""
    tickets = [{"body": "x"}, {"body": "x", "id": ""}] * 50
    answers = [await shared_house.client.post("/classify", json=ticket) for ticket in tickets]
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 100
    assert all(re.fullmatch(r"[0-9a-f]{16}", each) for each in ids)


async def test_cache_off_neither_reads_nor_writes(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """`?cache=off` pays for its own answer, leaves none behind and finds none."""
    asked = len(models[0].calls)
    sources = [
        (await shared_house.classify("never seen", cache="off")).json()["source"],
        (await shared_house.classify("never seen")).json()["source"],
        (await shared_house.classify("never seen", cache="off")).json()["source"],
        (await shared_house.classify("never seen", cache="on")).json()["source"],
    ]
    assert sources == ["model", "model", "model", "cache"]
    assert len(models[0].calls) == asked + 3


async def test_cache_off_shares_with_nobody(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """`?cache=off` at the same moment as its twin is a call of its own."""
    models[0].delay_s = 0.05
    asked = len(models[0].calls)
    await asyncio.gather(*(shared_house.classify("twins", cache="off") for _ in range(5)))
    assert len(models[0].calls) == asked + 5


async def test_forced_path_is_asked_alone(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """`?path=long` asks that path, escalates nowhere, and shares no cache entry with the route."""
    asked = len(models[0].calls)
    forced = (await shared_house.classify("forced", path="long")).json()
    assert (forced["path"], forced["model"], forced["source"]) == ("long", "base", "model")
    assert len(models[0].calls) == asked
    assert (await shared_house.classify("forced")).json()["path"] == "short"


async def test_timeout_header_is_kept(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """A model slower than X-Timeout-Ms is a 504 in that time, with a Retry-After."""
    models[0].delay_s = models[1].delay_s = 0.9
    for query in ({}, {"cache": "off"}):
        started = perf_counter()
        answer = await shared_house.classify("too slow", {"X-Timeout-Ms": "100"}, **query)
        elapsed_s = perf_counter() - started
        assert_problem(answer, 504, "out-of-time", "time budget")
        assert int(answer.headers["retry-after"]) >= 1
        assert 0.095 <= elapsed_s < 0.6


async def test_timeout_header_is_capped(models: tuple[Upstream, Upstream], tmp_path: Path) -> None:
    """Nobody gets more time than the config allows."""
    config = write_config(tmp_path, models[0].url, models[1].url)
    capped = '[server]\nauth = "none"\nmax_timeout_s = 0.1'
    config.write_text(config.read_text().replace('[server]\nauth = "none"', capped))
    models[0].delay_s = models[1].delay_s = 0.9
    async with service(config) as house:
        started = perf_counter()
        answer = await house.classify("x", {"X-Timeout-Ms": "60000"})
        assert_problem(answer, 504, "out-of-time")
        assert perf_counter() - started < 0.6


async def test_no_label_is_never_made_up(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """When no model says a label of the taxonomy the answer is a 503 that says so."""
    for model in models:
        model.answers(completion("refund please"))
    answer = await shared_house.classify("nobody knows")
    assert_problem(answer, 503, "no-label", "without a label of the taxonomy")
    assert int(answer.headers["retry-after"]) >= 1


async def test_no_path_is_told_apart(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """When every model fails the answer is a 503 that names paths and reasons, and when to retry."""
    models[0].answers({"error": {"message": "down"}}, status=500)
    models[1].answers({"error": {"message": "wait"}}, status=429, headers={"retry-after": "17"})
    answer = await shared_house.classify("nobody there")
    assert_problem(answer, 503, "no-path-answered", "short: server_error, long: rate_limited")
    assert answer.headers["retry-after"] == "17"
