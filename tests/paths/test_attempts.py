"""Walks through a plan: which paths are asked, in which order, for how long, and who pays."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.attempts import Run, Runner
from classifier.cache.memory import MemoryCache
from classifier.config.schema import Escalate
from classifier.errors import AttemptFailed, NoLabel, NoPathAnswered, OutOfTime, ServiceError
from classifier.paths.path import Path
from classifier.pipeline import Wish
from classifier.ports import RawReply
from classifier.records import Attempt, Ticket
from classifier.routing import Plan
from tests.support.house import write_config
from tests.support.parts import TAXONOMY, Remembering, endpoint, path, pipeline
from tests.support.proxy import proxied
from tests.support.redis_server import free_port
from tests.support.upstream import NEVER, Scripted, Upstream, completion, served
from tests.support.waiting import eventually

WISH = Wish("classify", timeout_s=10.0)
Walked = list[tuple[str, str, str]]


@pytest.fixture
async def third_model() -> AsyncIterator[Upstream]:
    """The scripted model behind path `third`."""
    upstream = Upstream()
    async with served(upstream, upstream.port):
        yield upstream


def _said(text: str | None, confidence: float | None = 0.99, **message: Any) -> dict[str, Any]:
    """A completion whose one token is as likely as `confidence`; None: no log probabilities."""
    tokens = None
    if confidence is not None:
        tokens = {"content": [{"token": text or "", "logprob": math.log(confidence)}]}
    found = {"role": "assistant", "content": text} | message
    choice = {"index": 0, "finish_reason": "stop", "message": found, "logprobs": tokens}
    return completion(text, choices=[choice])


async def _walk(
    plan: Plan,
    urls: Mapping[str, str],
    *,
    budget_s: float = 60.0,
    short_timeout_s: float = 20.0,
    retries: int = 1,
) -> Run:
    """Runs a plan over real endpoints."""
    booked: list[Attempt] = []
    async with AsyncExitStack() as stack:
        paths = {
            name: path(
                name,
                await stack.enter_async_context(endpoint(url)),
                timeout_s=short_timeout_s if name == "short" else 20.0,
                retries=retries,
            )
            for name, url in urls.items()
        }
        deadline = time.perf_counter() + budget_s
        run = await Runner(booked.append).run(plan, paths, "charged twice", deadline)
    assert booked == list(run.attempts)
    return run


def _steps(run: Run) -> Walked:
    return [(a.path, a.reason, a.outcome) for a in run.attempts]


def _plan(*, escalate: Sequence[tuple[str, float]] = (), fallback: Sequence[str] = ()) -> Plan:
    steps = tuple(Escalate(to=to, below=below) for to, below in escalate)
    return Plan("test", "short", steps, tuple(fallback))


# ---------------------------------------------------------------------------- fallback


async def test_sure_answer_ends_the_walk(short_model: Upstream, long_model: Upstream) -> None:
    """A label that is sure enough costs one call and nothing else."""
    plan = _plan(escalate=[("long", 0.6)], fallback=["long"])
    run = await _walk(plan, {"short": short_model.url, "long": long_model.url})
    assert _steps(run) == [("short", "answer", "labelled")]
    assert long_model.calls == []


@pytest.mark.parametrize(
    ("scripted", "outcome"),
    [
        (Scripted({}, 500), "server_error"),
        (Scripted({}, 429), "rate_limited"),
        (Scripted({}, 401), "unauthorised"),
        (Scripted({}, 404), "model_gone"),
        (Scripted(b"<html>"), "garbage"),
        (NEVER, "timeout"),
    ],
)
async def test_failure_falls_back(
    short_model: Upstream, long_model: Upstream, scripted: Scripted, outcome: str
) -> None:
    """Whatever keeps a model from replying, the next path is asked, and the failed one only once."""
    short_model.answers_in_turn(scripted)
    urls = {"short": short_model.url, "long": long_model.url}
    run = await _walk(_plan(fallback=["long"]), urls, short_timeout_s=0.5, retries=3)
    assert _steps(run) == [("short", "answer", outcome), ("long", "fallback", "labelled")]
    assert len(short_model.calls) == 1


async def test_fallbacks_are_asked_in_turn(
    short_model: Upstream, long_model: Upstream, third_model: Upstream
) -> None:
    """Fallbacks stand in the order of the config, and the first that replies is the last."""
    short_model.answers({}, 500)
    long_model.answers({}, 503)
    urls = {"short": short_model.url, "long": long_model.url, "third": third_model.url}
    run = await _walk(_plan(fallback=["long", "third"]), urls)
    assert [step[:2] for step in _steps(run)] == [
        ("short", "answer"),
        ("long", "fallback"),
        ("third", "fallback"),
    ]
    assert run.decisive == run.attempts[2]
    assert run.escalated_from is None


async def test_a_reply_without_a_label_is_no_failure(
    short_model: Upstream, long_model: Upstream
) -> None:
    """Fallbacks are for paths that fail; a model that talks nonsense needs an escalation."""
    short_model.answers(_said("no idea, sorry"))
    urls = {"short": short_model.url, "long": long_model.url}
    run = await _walk(_plan(fallback=["long"]), urls)
    assert _steps(run) == [("short", "answer", "not_a_label")]
    assert run.decisive is None


# ---------------------------------------------------------------------------- escalation


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (_said("billing", 0.59), "labelled"),
        (_said("other", 0.99), "abstained"),
        (_said("no idea, sorry"), "not_a_label"),
        (_said(""), "not_a_label"),
        (_said(None, refusal="I cannot help with that"), "refusal"),
    ],
)
async def test_unsure_answer_escalates(
    short_model: Upstream, long_model: Upstream, reply: Any, outcome: str
) -> None:
    """Low confidence, an abstention, no label and a refusal all go on to the next path."""
    short_model.answers(reply)
    long_model.answers(_said("login"))
    plan = _plan(escalate=[("long", 0.6)], fallback=["long"])
    run = await _walk(plan, {"short": short_model.url, "long": long_model.url})
    assert _steps(run) == [("short", "answer", outcome), ("long", "escalation", "labelled")]
    assert run.decisive is not None
    assert (run.decisive.label, run.escalated_from) == ("login", "short")


@pytest.mark.parametrize("confidence", [0.6, 0.61, None])
async def test_sure_enough_does_not_escalate(
    short_model: Upstream, long_model: Upstream, confidence: float | None
) -> None:
    """At the threshold an answer is sure; an unknown confidence never escalates."""
    short_model.answers(_said("billing", confidence))
    plan = _plan(escalate=[("long", 0.6)])
    await _walk(plan, {"short": short_model.url, "long": long_model.url})
    assert long_model.calls == []


async def test_failed_escalation_keeps_the_label(
    short_model: Upstream, long_model: Upstream, third_model: Upstream
) -> None:
    """An unsure label is better than none: a failed second opinion does not lose it."""
    short_model.answers(_said("billing", 0.3))
    long_model.answers({}, 500)
    plan = _plan(escalate=[("long", 0.6)], fallback=["third"])
    urls = {"short": short_model.url, "long": long_model.url, "third": third_model.url}
    run = await _walk(plan, urls)
    assert _steps(run) == [("short", "answer", "labelled"), ("long", "escalation", "server_error")]
    assert run.decisive == run.attempts[0]
    assert run.escalated_from is None


async def test_escalation_without_a_label_keeps_the_label(
    short_model: Upstream, long_model: Upstream
) -> None:
    """A second opinion that is no label does not replace an unsure one."""
    short_model.answers(_said("billing", 0.3))
    long_model.answers(_said("hard to say"))
    plan = _plan(escalate=[("long", 0.6)])
    run = await _walk(plan, {"short": short_model.url, "long": long_model.url})
    assert run.decisive == run.attempts[0]


async def test_failed_escalation_without_any_label_falls_back(
    short_model: Upstream, long_model: Upstream, third_model: Upstream
) -> None:
    """As long as there is no label at all, the fallbacks are asked too."""
    short_model.answers(_said("no idea, sorry"))
    long_model.answers({}, 500)
    plan = _plan(escalate=[("long", 0.6)], fallback=["third"])
    urls = {"short": short_model.url, "long": long_model.url, "third": third_model.url}
    run = await _walk(plan, urls)
    assert [step[:2] for step in _steps(run)] == [
        ("short", "answer"),
        ("long", "escalation"),
        ("third", "fallback"),
    ]


@pytest.mark.parametrize(
    ("confidences", "asked"),
    [
        ([0.95], ["short"]),
        ([0.8, 0.6], ["short", "long"]),
        ([0.8, 0.4, 0.1], ["short", "long", "third"]),
    ],
)
async def test_several_escalations_stop_when_sure(
    short_model: Upstream,
    long_model: Upstream,
    third_model: Upstream,
    confidences: list[float],
    asked: list[str],
) -> None:
    """Each step has a threshold of its own, and the last label asked for is the one that counts."""
    models = {"short": short_model, "long": long_model, "third": third_model}
    for model, confidence in zip(models.values(), confidences, strict=False):
        model.answers(_said("billing", confidence))
    plan = _plan(escalate=[("long", 0.9), ("third", 0.5)])
    run = await _walk(plan, {name: model.url for name, model in models.items()})
    assert [a.path for a in run.attempts] == asked
    assert run.decisive == run.attempts[-1]


async def test_no_path_is_asked_twice(short_model: Upstream, long_model: Upstream) -> None:
    """A fallback that already answered is not asked again to be surer, nor one that failed."""
    short_model.answers({}, 500)
    long_model.answers(_said("billing", 0.1))
    plan = _plan(escalate=[("long", 0.6)], fallback=["long", "short"])
    run = await _walk(plan, {"short": short_model.url, "long": long_model.url})
    assert _steps(run) == [("short", "answer", "server_error"), ("long", "fallback", "labelled")]
    assert run.escalated_from is None


# ---------------------------------------------------------------------------- retries


@pytest.mark.parametrize("mode", ["reset", "cut"])
async def test_broken_connection_is_tried_again(short_model: Upstream, mode: Any) -> None:
    """One reset costs a second call, booked as a retry, and not the answer."""
    async with proxied(short_model.port) as proxy:
        await proxy.set(mode, times=1)
        run = await _walk(_plan(), {"short": f"http://127.0.0.1:{proxy.port}/v1"})
    assert _steps(run) == [("short", "answer", "reset"), ("short", "retry", "labelled")]
    assert [a.cost.status for a in run.attempts] == ["unknown", "exact"]


async def test_retries_end(long_model: Upstream) -> None:
    """A server that stays away is asked as often as the config says, and then the next one is."""
    urls = {"short": f"http://127.0.0.1:{free_port()}/v1", "long": long_model.url}
    run = await _walk(_plan(fallback=["long"]), urls, retries=2)
    assert _steps(run) == [
        ("short", "answer", "connect"),
        ("short", "retry", "connect"),
        ("short", "retry", "connect"),
        ("long", "fallback", "labelled"),
    ]


async def test_retried_escalation_says_where_from(
    short_model: Upstream, long_model: Upstream
) -> None:
    """A second opinion that needed a retry is still an escalation."""
    short_model.answers(_said("billing", 0.1))
    async with proxied(long_model.port) as proxy:
        await proxy.set("reset", times=1)
        urls = {"short": short_model.url, "long": f"http://127.0.0.1:{proxy.port}/v1"}
        run = await _walk(_plan(escalate=[("long", 0.6)]), urls)
    assert [a.reason for a in run.attempts] == ["answer", "escalation", "retry"]
    assert run.escalated_from == "short"


# ---------------------------------------------------------------------------- deadline


async def test_deadline_bounds_the_whole_walk(short_model: Upstream, long_model: Upstream) -> None:
    """However many paths hang, the ticket's own time is all that passes, and none starts in vain."""
    short_model.hangs()
    long_model.hangs()
    started = time.perf_counter()
    plan = _plan(escalate=[("long", 0.6)], fallback=["long"])
    urls = {"short": short_model.url, "long": long_model.url}
    run = await _walk(plan, urls, budget_s=0.3, retries=3)
    assert time.perf_counter() - started < 5.0
    assert _steps(run) == [("short", "answer", "timeout")]
    assert run.out_of_time
    assert long_model.calls == []


async def test_path_timeout_leaves_time_for_the_next(
    short_model: Upstream, long_model: Upstream
) -> None:
    """A hanging path spends its own limit only."""
    short_model.hangs()
    urls = {"short": short_model.url, "long": long_model.url}
    run = await _walk(_plan(fallback=["long"]), urls, short_timeout_s=0.2)
    assert _steps(run) == [("short", "answer", "timeout"), ("long", "fallback", "labelled")]
    assert not run.out_of_time


async def test_attempt_that_cannot_finish_is_not_started(short_model: Upstream) -> None:
    """Without time nobody is asked and nothing is paid."""
    run = await _walk(_plan(), {"short": short_model.url}, budget_s=0.001)
    assert run == Run((), None, out_of_time=True)
    assert short_model.calls == []


# ---------------------------------------------------------------------------- any plan at all

OUTCOMES = {
    "billing": _said("billing", 0.99),
    "unsure": _said("login", 0.3),
    "unknown": _said("login", None),
    "other": _said("other", 0.99),
    "nonsense": _said("who knows"),
}
FAILURES = ("connect", "reset", "timeout", "server_error", "rate_limited", "garbage")
NAMES = ("short", "long", "third", "fourth")


class _ScriptedEndpoint:
    """An Endpoint without a network: says what the script says, in turn, then repeats the last."""

    def __init__(self, script: list[str]) -> None:
        self._script = script
        self.calls = 0

    async def post(self, route: str, body: bytes, timeout_s: float) -> RawReply:
        said = self._script[min(self.calls, len(self._script) - 1)]
        self.calls += 1
        if said in OUTCOMES:
            return RawReply(json.dumps(OUTCOMES[said]).encode())
        raise AttemptFailed(said, may_be_charged=said != "connect")  # type: ignore[arg-type]  # of FAILURES

    async def warm(self) -> bool:
        return True

    async def aclose(self) -> None:
        pass


PLANS = st.builds(
    lambda steps, fallback: _plan(escalate=steps, fallback=fallback),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([0.0, 0.5, 1.0])), max_size=3),
    st.lists(st.sampled_from(NAMES), max_size=3),
)
SCRIPTS = st.lists(st.sampled_from([*OUTCOMES, *FAILURES]), min_size=1, max_size=3)


@given(plan=PLANS, scripts=st.tuples(SCRIPTS, SCRIPTS, SCRIPTS, SCRIPTS), retries=st.integers(0, 2))
def test_any_walk_keeps_the_rules(plan: Plan, scripts: tuple[list[str], ...], retries: int) -> None:
    """No plan and no fault asks a path twice, retries a reply, or books an attempt but once."""
    servers = {name: _ScriptedEndpoint(script) for name, script in zip(NAMES, scripts, strict=True)}
    paths = {name: path(name, server, retries=retries) for name, server in servers.items()}
    booked: list[Attempt] = []
    run = asyncio.run(_run(plan, paths, booked))

    assert booked == list(run.attempts)
    assert sum(server.calls for server in servers.values()) == len(booked)
    first = [a.path for a in booked if a.reason != "retry"]
    assert len(first) == len(set(first))
    assert (booked[0].path, booked[0].reason) == ("short", "answer")
    for before, attempt in pairwise(booked):
        if attempt.reason == "retry":
            assert attempt.path == before.path
            assert before.outcome in ("connect", "reset", "server_error", "garbage", "rate_limited")
    labelled = [a for a in booked if a.label is not None]
    assert run.decisive == (labelled[-1] if labelled else None)
    assert all(a.label in TAXONOMY.names for a in labelled)
    if run.decisive is None:
        assert set(plan.fallback) <= set(first) or any(
            a.outcome in ("not_a_label", "refusal") for a in booked
        )


async def _run(plan: Plan, paths: Mapping[str, Path], booked: list[Attempt]) -> Run:
    return await Runner(booked.append).run(plan, paths, "x", time.perf_counter() + 60.0)


# ---------------------------------------------------------------------------- through the pipeline


def _one_path(folder: FilePath, short: Upstream, long: Upstream, more: str = "") -> FilePath:
    """A config whose only route is path `short` alone."""
    route = '\n[[routes]]\nname = "alone"\npath = "short"\n'
    return write_config(folder, short.url, long.url, route + more)


@pytest.mark.parametrize("cached", [True, False])
async def test_cancelled_caller_still_books(
    config_file: FilePath, short_model: Upstream, *, cached: bool
) -> None:
    """A caller that goes away does not take the bill with it: the answer is paid for and booked."""
    short_model.delay_s = 0.1
    seen = Remembering()
    cache = MemoryCache(10) if cached else None
    async with pipeline(config_file, seen, cache) as hallway:
        caller = asyncio.create_task(hallway.classify(Ticket(body="charged twice"), WISH))
        await eventually(lambda: bool(short_model.calls), within_s=15.0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert hallway.in_flight == 0
    assert [(a.reason, a.outcome, a.cost.nanodollars) for a in seen.attempts] == [
        ("answer", "labelled", 100 * 300 + 2 * 1_200)
    ]


async def test_fallback_is_no_escalation(
    config_file: FilePath, short_model: Upstream, long_model: Upstream
) -> None:
    """An answer says `escalated_from` only when a model was unsure, not when it was away."""
    short_model.answers({}, 500)
    async with pipeline(config_file, Remembering()) as hallway:
        answer = (await hallway.classify(Ticket(body="a"), WISH)).answer
        short_model.answers(_said("billing", 0.1))
        escalated = (await hallway.classify(Ticket(body="b"), WISH)).answer
    assert (answer.path, answer.escalated_from) == ("long", None)
    assert (escalated.path, escalated.escalated_from) == ("long", "short")


@pytest.mark.parametrize("cached", [True, False])
async def test_out_of_time_is_said(
    tmp_path: FilePath, short_model: Upstream, long_model: Upstream, *, cached: bool
) -> None:
    """A deadline that ends the only attempt is 'out of time', with or without a cache."""
    short_model.hangs()
    config = _one_path(tmp_path, short_model, long_model)
    seen = Remembering()
    async with pipeline(config, seen, MemoryCache(10) if cached else None) as hallway:
        with pytest.raises(OutOfTime):
            await hallway.classify(Ticket(body="x"), Wish("classify", timeout_s=0.3))
    assert seen.failures == ["out-of-time"]
    assert [a.outcome for a in seen.attempts] == ["timeout"]


@pytest.mark.parametrize(
    ("scripted", "error", "retry_after_s"),
    [
        (Scripted({}, 503), NoPathAnswered, 2),
        (Scripted({}, 429, {"retry-after": "30"}), NoPathAnswered, 30),
        (Scripted({}, 429, {"retry-after": "0"}), NoPathAnswered, 1),
        (Scripted({}, 429, {"retry-after": "86400"}), NoPathAnswered, 120),
        (Scripted({}, 429, {"retry-after": "inf"}), NoPathAnswered, 2),
        (Scripted(_said("who knows")), NoLabel, 2),
        (Scripted(_said(None, refusal="no")), NoLabel, 2),
    ],
)
async def test_no_answer_says_why_and_when(
    tmp_path: FilePath,
    short_model: Upstream,
    long_model: Upstream,
    scripted: Scripted,
    error: type[ServiceError],
    retry_after_s: int,
) -> None:
    """Without a label there is an error of the right kind, with a pause within reason."""
    short_model.answers_in_turn(scripted)
    config = _one_path(tmp_path, short_model, long_model)
    async with pipeline(config, Remembering()) as hallway:
        with pytest.raises(error) as raised:
            await hallway.classify(Ticket(body="x"), WISH)
    assert raised.value.retry_after_s == retry_after_s
