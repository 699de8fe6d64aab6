"""Paths as their guards see them: what a real server's answers do to the next ticket."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from classifier.assembly import Assembly
from classifier.cache.memory import MemoryCache
from classifier.config.guards import Breaker
from classifier.config.load import Loaded, load
from classifier.errors import NoPathAnswered, OutOfTime
from classifier.guards.registry import Guards
from classifier.paths.pool import EndpointPool
from classifier.pipeline import Wish
from classifier.records import Ticket
from tests.support.house import service, write_config
from tests.support.parts import Remembering, endpoint, path, pipeline
from tests.support.upstream import Scripted, Upstream, completion
from tests.support.waiting import eventually

WISH = Wish("classify", timeout_s=10.0)


def _cut(text: str | None) -> dict[str, object]:
    """A reply that ended because it had all the tokens that it may have."""
    choice = {"finish_reason": "length", "message": {"content": text}}
    return completion(text, choices=[choice])


@pytest.mark.parametrize(
    ("text", "outcome"), [("billing", "labelled"), ("bill", "not_a_label"), (None, "not_a_label")]
)
async def test_a_cut_reply_counts_when_it_is_whole(
    short_model: Upstream, text: str | None, outcome: str
) -> None:
    """With one token per label every answer is 'cut': it is one when no longer label begins so."""
    short_model.answers(_cut(text))
    async with endpoint(short_model.url) as server:
        attempt = await path("short", server).ask("charged twice", 10.0, "answer")
    assert attempt.outcome == outcome


@pytest.mark.parametrize(
    ("scripted", "opens"),
    [
        (Scripted({"error": {"code": "insufficient_quota"}}, 429), "quota"),
        (Scripted({"error": {"code": "model_not_found"}}, 404), "model_gone"),
        (Scripted({}, 401), "unauthorised"),
        (Scripted({}, 400), None),
        (Scripted({"error": {"code": "content_filter"}}, 400), None),
        (Scripted({}, 429, {"retry-after": "30"}), None),
        (Scripted({"error": {"message": "the model is being loaded"}}, 429), None),
    ],
)
async def test_one_answer_is_told_from_another(
    short_model: Upstream, scripted: Scripted, opens: str | None
) -> None:
    """Quota, key and model open the breaker at the first answer; a refused ticket and a 429 do not."""
    short_model.answers_in_turn(scripted)
    async with endpoint(short_model.url) as server:
        asked = path("short", server)
        await asked.ask("charged twice", 10.0, "answer")
    assert asked.guard.breaker.reason == (opens or "")
    assert asked.guard.breaker.state == ("open" if opens else "closed")


@pytest.mark.parametrize(("breaker", "state"), [({}, "closed"), ({"slow_s": 0.05}, "open")])
async def test_a_late_answer_is_an_answer(
    short_model: Upstream, breaker: dict[str, Any], state: str
) -> None:
    """Slowness opens a breaker only for who says what is too slow; answers in time are answers."""
    short_model.delay_s = 0.1
    async with endpoint(short_model.url) as server:
        asked = path("short", server, breaker=Breaker(**breaker))
        for _ in range(5):
            assert (await asked.ask("x", 10.0, "answer")).label == "billing"
    assert asked.guard.breaker.state == state
    assert asked.guard.breaker.reason == ("slow" if breaker else "")


async def test_a_pause_spares_the_server(config_file: Path, short_model: Upstream) -> None:
    """After one 429 with a long Retry-After the next 20 tickets do not ask that server at all."""
    short_model.answers({}, 429, {"retry-after": "30"})
    seen = Remembering()
    async with pipeline(config_file, seen) as hallway:
        for number in range(20):
            answer = await hallway.classify(Ticket(body=f"ticket {number}"), WISH)
            assert answer.answer.path == "long"
    assert len(short_model.calls) == 1
    assert seen.skips == [("short", "paused")] * 19


async def test_a_503_with_a_retry_after_is_believed(
    config_file: Path, short_model: Upstream
) -> None:
    """A server that says how long it will be away is left alone for that long after its first 503."""
    short_model.answers({}, 503, {"retry-after": "30"})
    seen = Remembering()
    async with pipeline(config_file, seen) as hallway:
        for number in range(5):
            answer = await hallway.classify(Ticket(body=f"ticket {number}"), WISH)
            assert answer.answer.path == "long"
    assert len(short_model.calls) == 1
    assert seen.skips == [("short", "paused")] * 4


async def test_open_breakers_refuse_at_once(
    config_file: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """With nobody left to ask a ticket is told when to come again, without a call to anybody."""
    for model in (short_model, long_model):
        model.answers({}, 401)
    async with pipeline(config_file, Remembering()) as hallway:
        for _ in range(2):
            with pytest.raises(NoPathAnswered) as raised:
                await hallway.classify(Ticket(body="x"), WISH)
        assert "short: open, long: open" in raised.value.detail
        assert raised.value.retry_after_s is not None
        assert 50 <= raised.value.retry_after_s <= 60
    assert len(short_model.calls) == len(long_model.calls) == 1


async def test_a_host_that_swallows_connections_costs_nothing(short_model: Upstream) -> None:
    """With a path's timeout no longer than the connect timeout, unreachable is still `connect`: free."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # the queue for connections is full
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        async with endpoint(url, connect_timeout_s=1.0) as server:
            attempt = await path("short", server).ask("charged twice", 0.5, "answer")
        for each in waiting:
            each.close()
    assert (attempt.outcome, attempt.cost.nanodollars) == ("connect", 0)


async def test_a_simulated_servers_silence_is_simulated(short_model: Upstream) -> None:
    """A call that ran out of time carries no header: what the server said before marks it."""
    short_model.answers(completion("billing"), headers={"x-simulated": "true"})
    async with endpoint(short_model.url) as server:
        asked = path("short", server)
        assert (await asked.ask("x", 10.0, "answer")).simulated
        short_model.hangs()
        silent = await asked.ask("x", 0.1, "answer")
    assert (silent.outcome, silent.simulated) == ("timeout", True)


async def test_time_runs_from_arrival(config_file: Path, short_model: Upstream) -> None:
    """A ticket that has waited its whole budget away in front of us asks nobody any more."""
    async with pipeline(config_file, Remembering(), MemoryCache(10)) as hallway:
        late = Wish("classify", timeout_s=1.0, arrived=time.perf_counter() - 1.0)
        with pytest.raises(OutOfTime):
            await hallway.classify(Ticket(body="x"), late)
    assert short_model.calls == []


async def test_a_slow_body_uses_up_its_tickets_time(
    config_file: Path, short_model: Upstream
) -> None:
    """The body's way here counts: what took longer than X-Timeout-Ms is out of time, not answered."""
    body = b'{"body": "charged twice"}'
    head = f"POST /classify HTTP/1.1\r\nhost: x\r\nx-timeout-ms: 100\r\ncontent-length: {len(body)}\r\n"
    async with service(config_file) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + body[:5])
        await asyncio.sleep(0.3)
        writer.write(body[5:])
        answer = await reader.readuntil(b"\r\n")
        writer.close()
    assert b" 504 " in answer
    assert short_model.calls == []


# ---------------------------------------------------------------------------- reloads


def _assembled(loaded: Loaded, pool: EndpointPool, guards: Guards) -> Assembly:
    assembly = Assembly(loaded, pool.open, guards.guard)
    guards.settle({path.guard: path.config for path in assembly.paths.values()})
    return assembly


def test_a_reload_forgets_no_outage(config_file: Path) -> None:
    """Limits of a new config hold at once, over the same state; another model starts unknown."""
    seen, pool = Remembering(), EndpointPool({})
    guards = Guards(seen)
    before = _assembled(load(config_file, {}), pool, guards)
    before.paths["short"].guard.breaker.open("connect")

    text = config_file.read_text()
    config_file.write_text(text + "\n[paths.short.breaker]\nfailures_in_a_row = 9\n")
    same = _assembled(load(config_file, {}), pool, guards).paths["short"].guard
    assert same is before.paths["short"].guard
    assert (same.breaker.state, same.breaker.config.failures_in_a_row) == ("open", 9)

    config_file.write_text(text.replace("ft:base:org::1", "ft:base:org::2"))
    other = _assembled(load(config_file, {}), pool, guards)
    assert other.paths["short"].guard.breaker.state == "closed"
    assert other.paths["long"].guard is before.paths["long"].guard
    asyncio.run(pool.aclose())


async def test_a_new_key_is_a_new_chance(tmp_path: Path, short_model: Upstream) -> None:
    """Whoever mends a wrong key need not wait for the minute between probes to pass."""
    key = tmp_path / "key"
    key.write_text("wrong-key")

    async def respond(call: object) -> Scripted:
        right = key.read_text() == "right-key"
        return Scripted(completion("billing")) if right else Scripted({}, 401)

    short_model.respond = respond
    config = write_config(tmp_path, short_model.url, short_model.url)
    text = config.read_text()
    for name in ("fast", "slow"):
        text = text.replace(f"[endpoints.{name}]", f'[endpoints.{name}]\napi_key_file = "{key}"')
    config.write_text(text)
    async with service(config) as house:
        assert (await house.classify("x")).status_code == 503
        key.write_text("right-key")

        async def answered() -> bool:
            return (await house.classify("x")).status_code == 200

        await eventually(answered, within_s=15.0)
