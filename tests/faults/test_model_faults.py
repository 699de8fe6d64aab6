"""Whatever models and their servers do: a label of the taxonomy or an honest error, and exact money."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from classifier.money import nanodollars
from tests.support.house import Service, edited, service, trusting, write_config
from tests.support.proxy import FaultProxy, proxied
from tests.support.upstream import NEVER, Call, Scripted, Upstream, completion, decision, served
from tests.support.waiting import eventually

# A burst on a slow machine is to wait, not to be refused: that is tested elsewhere.
ROOMY = "\n[overload]\nqueue_length = 300\nqueue_wait_s = 10.0\n"
LABELS = {"billing", "login", "other"}
PATIENT = ("timeout_s = 1.0", "timeout_s = 20.0")  # where nothing hangs, a slow machine may


@asynccontextmanager
async def _behind_proxies(
    folder: Path, short: Upstream, long: Upstream
) -> AsyncIterator[tuple[Service, FaultProxy, FaultProxy]]:
    """The service, and between it and each model a proxy that can take the model away."""
    async with AsyncExitStack() as stack:
        to_short = await stack.enter_async_context(proxied(short.port))
        to_long = await stack.enter_async_context(proxied(long.port))
        urls = [f"http://127.0.0.1:{proxy.port}/v1" for proxy in (to_short, to_long)]
        config = edited(write_config(folder, urls[0], urls[1]), *PATIENT)
        house = await stack.enter_async_context(service(config))
        yield house, to_short, to_long


def _roomy(config: Path) -> Path:
    config.write_text(config.read_text() + ROOMY)
    return config


def _assert_unanswerable(answer: httpx2.Response) -> None:
    problem = answer.json()
    assert answer.status_code == problem["status"] == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:classifier:problem:no-path-answered"
    assert int(answer.headers["retry-after"]) >= 1


# ---------------------------------------------------------------------------- models that are away


async def test_long_takes_over(tmp_path: Path, short_model: Upstream, long_model: Upstream) -> None:
    """With the short path's server dead every ticket is answered by the long one, and says so."""
    async with _behind_proxies(tmp_path, short_model, long_model) as (house, to_short, _):
        await to_short.set("refuse")
        answers = await asyncio.gather(*(house.classify(f"ticket {n}") for n in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        found = answers[0].json()
        assert (found["path"], found["label"]) == ("long", "billing")
        assert "escalated_from" not in found
        assert await house.metric("classifier_attempts_total", path="long", reason="fallback") == 20
        assert (await house.client.get("/readyz")).json()["paths"]["short"] == "down"


async def test_nothing_made_up_when_all_are_away(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Without any model the service says 503 and when to come again, stays alive, and recovers."""
    async with _behind_proxies(tmp_path, short_model, long_model) as (house, to_short, to_long):
        await house.classify("answered before")
        for proxy in (to_short, to_long):
            await proxy.set("refuse")
        for number in range(6):
            _assert_unanswerable(await house.classify(f"ticket {number}"))
        kept = (await house.classify("answered before")).json()
        assert (kept["label"], kept["source"]) == ("billing", "cache")
        assert (await house.client.get("/healthz")).status_code == 200
        assert (await house.client.get("/readyz")).status_code == 503

        for proxy in (to_short, to_long):
            await proxy.set("pass")

        async def answered() -> bool:
            return (await house.classify("ticket 0")).status_code == 200

        await eventually(answered, within_s=15.0)
        assert (await house.client.get("/readyz")).status_code == 200


async def test_probe_finds_models_that_are_back(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A service without traffic becomes ready again by itself."""
    async with _behind_proxies(tmp_path, short_model, long_model) as (house, to_short, to_long):
        for proxy in (to_short, to_long):
            await proxy.set("refuse")
        for number in range(3):
            await house.classify(f"ticket {number}")
        assert (await house.client.get("/readyz")).status_code == 503
        await to_long.set("pass")

        async def ready() -> bool:
            return (await house.client.get("/readyz")).status_code == 200

        await eventually(ready, within_s=15.0)
        assert await house.metric("classifier_path_up", path="long") == 1


async def test_hanging_model_costs_its_timeout_only(
    config_file: Path, short_model: Upstream
) -> None:
    """A model that takes tickets and gives nothing loses them to the next path, all side by side."""
    short_model.hangs()
    config = edited(edited(config_file, "timeout_s = 1.0", "timeout_s = 0.3", 1), *PATIENT)
    async with service(_roomy(config)) as house:
        async with asyncio.timeout(15.0):
            answers = await asyncio.gather(*(house.classify(f"ticket {n}") for n in range(20)))
        assert {answer.json()["path"] for answer in answers} == {"long"}
        # As many as were under way when the breaker opened; the others did not wait at all.
        paid = [answer.json()["cost_status"] for answer in answers].count("partial")
        assert paid >= 5
        found = await house.metric("classifier_uncertain_costs_total", path="short")
    assert found == paid


async def test_rate_limit_storm_falls_back(
    config_file: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """While one path is told to slow down, it is asked once a ticket at most, and soon not at all."""
    short_model.answers({"error": {"code": "rate_limit_exceeded"}}, 429, {"retry-after": "20"})
    config = _roomy(edited(config_file, *PATIENT))
    config.write_text(config.read_text() + "initial_concurrency = 30\nadaptive = false\n")
    async with service(config) as house:
        answers = await asyncio.gather(*(house.classify(f"ticket {n}") for n in range(30)))
        assert {answer.json()["path"] for answer in answers} == {"long"}
        assert len(long_model.calls) == 30
        asked = len(short_model.calls)  # how many were under way before the first 429 came back
        assert 1 <= asked <= 30
        assert (await house.classify("later")).json()["path"] == "long"
        assert len(short_model.calls) == asked
        found = await house.metric("classifier_attempts_total", outcome="rate_limited")
        passed_over = await house.metric("classifier_attempts_skipped_total", reason="paused")
        assert (found, found + passed_over) == (asked, 31)


async def test_hurried_callers_cannot_mark_a_path_down(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """Tickets that leave no model any time end as 504, and say nothing about the models."""
    short_model.delay_s = long_model.delay_s = 0.2
    for number in range(6):
        hurried = await house.classify(f"ticket {number}", {"x-timeout-ms": "30"})
        assert hurried.status_code == 504
    ready = (await house.client.get("/readyz")).json()
    assert (ready["ready"], ready["paths"]) == (True, {"short": "up", "long": "up"})


# ---------------------------------------------------------------------------- nasty answers


def _text(content: Any, **message: Any) -> dict[str, Any]:
    found = {"role": "assistant", "content": content} | message
    return completion(None, choices=[{"index": 0, "finish_reason": "stop", "message": found}])


# What a chat model or its server may say, and the only label that may come of it.
NASTY: list[tuple[Any, str | None]] = [
    (_text("billing"), "billing"),
    (_text(" Billing.\n"), "billing"),
    (_text('{"label": "login"}'), "login"),
    (_text('```json\n{"label": "login"}\n```'), "login"),
    (_text("label: other"), "other"),
    (_text("billing or login"), None),
    (_text("not billing"), None),
    (_text("I think this is billing"), None),
    (_text("bill"), None),
    (_text("billings"), None),
    (_text("refund"), None),
    (_text("billing\x00"), "billing"),
    (_text('["billing", "login"]'), None),
    (_text('{"label": "billing", "label2": "login"}'), None),
    (_text('{"label": ["billing"]}'), "billing"),
    (_text('{"label": null}'), None),
    (_text("{" * 5_000), None),
    (_text("[" * 900 + '"billing"' + "]" * 900), None),
    (_text("billing " * 10_000), None),
    (_text(""), None),
    (_text("   "), None),
    (_text("🙂"), None),
    (_text("b\u0456ll\u0456ng"), None),  # Cyrillic i
    (_text(None), None),
    (_text(None, refusal="I cannot help with that."), None),
    (_text("billing", refusal="I cannot help with that."), None),
    (_text(["billing"]), None),
    (_text({"text": "billing"}), None),
    (_text(5), None),
    (_text(None, tool_calls=[{"function": {"name": "billing"}}]), None),
    (completion("billing", choices=[]), None),
    (completion("billing", choices=None), None),
    (completion("billing", choices=[{}]), None),
    (completion("billing", choices={"0": "billing"}), None),
    (completion("billing", usage=None), "billing"),
    (completion("billing", usage={"prompt_tokens": -5, "completion_tokens": 1}), None),
    (completion("billing", usage={"prompt_tokens": 1e30, "completion_tokens": 1}), None),
    (completion("billing", service_tier=["x"]), None),
    ({"error": {"message": "billing"}}, None),
    ({"label": "billing"}, None),
    ("billing", None),
    (["billing"], None),
    (None, None),
    (b"", None),
    (b"billing", None),
    (b'{"choices":[{"message":{"content":"billing"', None),
    (b"<html>billing</html>", None),
    (b"\xff\xfe\x00", None),
    (b"[" * 200_000, None),
    (b"x" * 1_100_000, None),
    (decision("billing"), None),  # the other kind's shape
]
NASTY_DECISIONS: list[tuple[Any, str | None]] = [
    (decision("billing"), "billing"),
    (decision("refund"), None),
    (decision("billing", answers=[]), None),
    (decision("billing", answers=[{"type": "refusal", "name": "label"}]), None),
    (decision("billing", answers=[{"type": "refusal", "choice": "billing"}]), None),
    (decision("billing", answers=[{"type": "choice", "choice": True}]), None),
    (decision("billing", answers=[{"type": "choice", "choice": None}]), None),
    (decision("billing", answers=[{"type": "score", "score": 1, "confidence": 1}]), None),
    (decision("billing", answers=[{"choice": "billing"}]), None),
    (decision("billing", answers="billing"), None),
    (decision("billing", probability=-7.5), "billing"),
    (decision("billing", probability=1e300), "billing"),
    (completion("billing"), None),
    ({}, None),
    (b"", None),
]
DECIDED = """
[endpoints.decider]
base_url = "{url}"
[paths.decided]
kind = "decisions"
endpoint = "decider"
model = "base"
prompt = "short.txt"
"""


@pytest.mark.parametrize(
    ("path", "corpus"), [("short", NASTY), ("decided", NASTY_DECISIONS)], ids=["chat", "decisions"]
)
async def test_no_label_is_ever_made_up(
    tmp_path: Path,
    short_model: Upstream,
    long_model: Upstream,
    path: str,
    corpus: list[tuple[Any, str | None]],
) -> None:
    """Each nasty answer gives exactly the label that it says, or an error: never a guess or a 500."""
    decided = DECIDED.format(url=short_model.url)
    config = write_config(tmp_path, short_model.url, long_model.url, decided)
    async with service(trusting(edited(config, *PATIENT))) as house:
        for said, label in corpus:
            short_model.answers(said)
            answer = await house.classify("charged twice", path=path, cache="off")
            found = answer.json()
            assert answer.status_code == (503 if label is None else 200), (said, found)
            assert found.get("label") == label, (said, found)
            assert found.get("confidence") is None or 0 <= found["confidence"] <= 1
    assert long_model.calls == []


# ---------------------------------------------------------------------------- money

# Nano-dollars per token, from the test config's prices: input, cached input, output.
RATES = {"short": (300, 150, 1_200), "long": (150, 75, 600), "watcher": (150, 75, 600)}
WATCHED = """
[endpoints.watching]
base_url = "{url}"
[paths.watcher]
kind = "chat"
endpoint = "watching"
model = "base"
prompt = "long.txt"
timeout_s = 20.0

[[routes]]
name = "watched"
path = "short"
escalate = {{ to = "long", below = 0.6 }}
fallback = ["long"]
shadow = {{ path = "watcher", share = 1.0 }}
"""


class _Till:
    """Makes up usage for every answer of one model, and keeps what each ticket must cost."""

    def __init__(self, path: str, model: Upstream, seed: int) -> None:
        self.due: Counter[str] = Counter()
        self._path = path
        self._random = random.Random(seed)
        model.respond = self._respond

    async def _respond(self, call: Call) -> Scripted:
        choices = ["billing", "login", "other", "who knows", "unsure", "refused", "error", "never"]
        said = self._random.choice(choices)
        if self._path == "long":
            said = self._random.choice(choices[:3])
        if said == "error":
            return Scripted({"error": {"message": "no"}}, 500)
        if said == "never":
            return Scripted(b"<html>")  # charged perhaps, and nobody knows how much
        cached, rest, written = (self._random.randrange(2_000) for _ in range(3))
        output = self._random.randrange(20)
        rate_in, rate_cached, rate_out = RATES[self._path]
        ticket = call.ticket
        self.due[ticket] += (rest + written) * rate_in + cached * rate_cached + output * rate_out
        usage = {
            "prompt_tokens": cached + rest + written,
            "completion_tokens": output,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        }
        return Scripted(_unsure(said) | {"usage": usage})


def _unsure(said: str) -> dict[str, Any]:
    found = completion("billing" if said == "unsure" else said)
    if said == "unsure":
        found["choices"][0]["logprobs"]["content"][0]["logprob"] = -3.0
    if said == "refused":
        found["choices"][0]["message"] = {"content": None, "refusal": "no"}
    return found


async def test_money_is_booked_to_the_nanodollar(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """What the models charged is what the metrics say, path by path, and what the answers say."""
    watcher = Upstream()
    async with served(watcher, watcher.port):
        models = {"short": short_model, "long": long_model, "watcher": watcher}
        tills = {
            name: _Till(name, model, seed) for seed, (name, model) in enumerate(models.items())
        }
        more = WATCHED.format(url=watcher.url)
        config = write_config(tmp_path, short_model.url, long_model.url, more)
        async with service(edited(config, *PATIENT)) as house:
            answers = await _ask(house, 150)
            await eventually(lambda: _is_settled(house, answers), within_s=15.0)
            for name, till in tills.items():
                booked = await house.metric("classifier_cost_dollars_total", path=name)
                assert round(booked * 10**9) == till.due.total(), name
            for reason in ("answer", "escalation", "fallback", "shadow"):
                assert await house.metric("classifier_attempts_total", reason=reason) > 0
            shadow = await house.metric("classifier_cost_dollars_total", reason="shadow")
    assert round(shadow * 10**9) == tills["watcher"].due.total()
    for ticket, answer in answers.items():
        assert nanodollars(answer["cost_usd"] or "0") == sum(
            tills[name].due[ticket] for name in ("short", "long")
        )


async def _ask(house: Service, tickets: int) -> dict[str, Mapping[str, Any]]:
    """So many different tickets, ten at a time; the answers by the ticket's text."""
    gate = asyncio.Semaphore(10)

    async def ask(text: str) -> tuple[str, Mapping[str, Any]]:
        async with gate:
            answer = await house.classify(text)
            assert answer.status_code == 200, answer.text
            assert answer.json()["label"] in LABELS
            return text, answer.json()

    return dict(await asyncio.gather(*(ask(f"ticket {n}") for n in range(tickets))))


async def _is_settled(house: Service, answers: Mapping[str, Any]) -> bool:
    """Every answered ticket had its shadow."""
    return await house.metric("classifier_shadow_comparisons_total") == len(answers)


async def test_costs_are_decimal_strings(house: Service) -> None:
    """A cost is exact on the wire: a string of dollars, no binary fraction."""
    cost = (await house.classify("charged twice")).json()["cost_usd"]
    assert isinstance(cost, str)
    assert Decimal(cost) * 10**9 == 100 * 300 + 2 * 1_200


async def test_silence_is_never_free(house: Service, short_model: Upstream) -> None:
    """A call that may have been charged leaves the sum incomplete, and the answer says so."""
    short_model.answers_in_turn(NEVER)
    answer = (await house.classify("charged twice")).json()
    assert (answer["path"], answer["cost_status"]) == ("long", "partial")
    assert await house.metric("classifier_uncertain_costs_total", status="unknown") == 1
