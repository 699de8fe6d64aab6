"""Identical tickets at one moment: one piece of work, and nobody pays for another's impatience."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from classifier.cache.coalescing import Coalescing
from classifier.cache.memory import MemoryCache
from classifier.errors import ClassifierError, NoLabel, OutOfTime
from classifier.pipeline import Pipeline, Wish
from classifier.records import Classification, Ticket
from tests.support.house import write_config
from tests.support.parts import Remembering, pipeline
from tests.support.upstream import NEVER, Scripted, Upstream, completion

TICKET = Ticket(body="charged twice")
ALONE = '\n[[routes]]\nname = "alone"\npath = "short"\n'


class _Work:
    """Something to do that ends when the test says so, and counts how often it was begun."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self._error = error

    async def __call__(self) -> str:
        self.begun += 1
        await self.may_end.wait()
        if self._error is not None:
            raise self._error
        return f"result {self.begun}"


async def _asked(calls: Coalescing[str], key: str, work: _Work) -> asyncio.Task[tuple[str, bool]]:
    """A call that is under way when this returns."""
    task = asyncio.create_task(calls.run(key, work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_one_run_for_one_key() -> None:
    """A hundred callers get one result, and exactly one of them leads."""
    calls: Coalescing[str] = Coalescing()
    work = _Work()
    callers = [await _asked(calls, "key", work) for _ in range(100)]
    work.may_end.set()
    results = await asyncio.gather(*callers)
    assert work.begun == 1
    assert {result for result, _ in results} == {"result 1"}
    assert [leads for _, leads in results] == [True] + [False] * 99


async def test_keys_run_side_by_side() -> None:
    """Different tickets do not wait for each other."""
    calls: Coalescing[str] = Coalescing()
    slow, quick = _Work(), _Work()
    waiting = await _asked(calls, "slow", slow)
    quick.may_end.set()
    assert await calls.run("quick", quick) == ("result 1", True)
    assert not waiting.done()
    slow.may_end.set()
    assert await waiting == ("result 1", True)


async def test_results_are_not_remembered() -> None:
    """When a run is over the next caller starts a new one: remembering is the cache's job."""
    calls: Coalescing[str] = Coalescing()
    work = _Work()
    work.may_end.set()
    assert await calls.run("key", work) == ("result 1", True)
    assert await calls.run("key", work) == ("result 2", True)


async def test_followers_outlive_the_leader() -> None:
    """The first caller's client hangs up, and everybody else is answered all the same."""
    calls: Coalescing[str] = Coalescing()
    work = _Work()
    leader = await _asked(calls, "key", work)
    followers = [await _asked(calls, "key", work) for _ in range(3)]
    leader.cancel()
    followers[0].cancel()
    await asyncio.gather(leader, followers[0], return_exceptions=True)
    work.may_end.set()
    assert await asyncio.gather(*followers[1:]) == [("result 1", False)] * 2
    assert work.begun == 1


async def test_abandoned_run_ends_and_is_drained() -> None:
    """A run that nobody waits for any more is finished, not thrown away: it is paid for."""
    calls: Coalescing[str] = Coalescing()
    work = _Work()
    leader = await _asked(calls, "key", work)
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    drained = asyncio.create_task(calls.drain())
    await asyncio.sleep(0)
    assert not drained.done()
    work.may_end.set()
    await drained
    assert await calls.run("key", work) == ("result 2", True)


async def test_error_reaches_all_and_is_forgotten() -> None:
    """Every waiting caller learns of the error; the next one tries again."""
    calls: Coalescing[str] = Coalescing()
    broken = _Work(ZeroDivisionError("broken"))
    callers = [await _asked(calls, "key", broken) for _ in range(5)]
    broken.may_end.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError] * 5
    work = _Work()
    work.may_end.set()
    assert await calls.run("key", work) == ("result 1", True)


# ---------------------------------------------------------------------------- in the pipeline


async def _answered(
    hallway: Pipeline, timeout_s: float, ticket: Ticket = TICKET
) -> Classification | ClassifierError:
    try:
        return await hallway.classify(ticket, Wish("classify", timeout_s))
    except ClassifierError as error:
        return error


async def test_follower_with_more_time_tries_again(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A caller in a hurry runs out of time alone: the patient ones get their answer."""
    config = write_config(tmp_path, short_model.url, long_model.url, ALONE)
    seen = Remembering()
    async with pipeline(config, seen, MemoryCache(10)) as hallway:
        await _answered(hallway, 30.0, Ticket(body="opens the connection"))
        short_model.answers_in_turn(NEVER, Scripted(completion("billing")))
        hurried, *patient = await asyncio.gather(
            _answered(hallway, 0.5), *(_answered(hallway, 30.0) for _ in range(10))
        )
    assert isinstance(hurried, OutOfTime)
    answers = [found for found in patient if isinstance(found, Classification)]
    assert [found.answer.label for found in answers] == ["billing"] * 10
    assert sorted(found.source for found in answers) == ["coalesced"] * 9 + ["model"]
    assert [attempt.outcome for attempt in seen.attempts[1:]] == ["timeout", "labelled"]


async def test_follower_in_a_hurry_leaves_alone(config_file: Path, short_model: Upstream) -> None:
    """A follower's own deadline holds while the leader goes on."""
    short_model.delay_s = 0.3  # within the path's second
    async with pipeline(config_file, Remembering(), MemoryCache(10)) as hallway:
        patient, hurried = await asyncio.gather(_answered(hallway, 30.0), _answered(hallway, 0.1))
    assert isinstance(patient, Classification)
    assert isinstance(hurried, OutOfTime)
    assert len(short_model.calls) == 1


async def test_failure_reaches_every_follower(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Identical tickets fail together on one call, and the next one asks anew."""
    short_model.delay_s = 0.1
    short_model.answers({}, 500)
    config = write_config(tmp_path, short_model.url, long_model.url, ALONE)
    async with pipeline(config, Remembering(), MemoryCache(10)) as hallway:
        found = await asyncio.gather(*(_answered(hallway, 10.0) for _ in range(20)))
        assert {getattr(error, "slug", None) for error in found} == {"no-path-answered"}
        assert len(short_model.calls) == 2  # one run: a call and its retry
        short_model.answers(completion("billing"))
        assert isinstance(await _answered(hallway, 10.0), Classification)


async def test_cache_off_shares_nothing(config_file: Path, short_model: Upstream) -> None:
    """Whoever switches the cache off gets a call of their own, and leaves nothing behind."""
    short_model.delay_s = 0.05
    wish = Wish("classify", 10.0, use_cache=False)
    async with pipeline(config_file, Remembering(), MemoryCache(10)) as hallway:
        found = await asyncio.gather(*(hallway.classify(TICKET, wish) for _ in range(3)))
        assert [c.source for c in found] == ["model"] * 3
        assert len(short_model.calls) == 3
        kept = await hallway.classify(TICKET, Wish("classify", 10.0))
    assert kept.source == "model"


async def test_coalesced_ticket_is_free(config_file: Path, short_model: Upstream) -> None:
    """Only the leader is billed; the others cost 0 and say where their answer came from."""
    short_model.delay_s = 0.1
    seen = Remembering()
    async with pipeline(config_file, seen, MemoryCache(10)) as hallway:
        found = await asyncio.gather(
            *(hallway.classify(TICKET, Wish("classify", 10.0)) for _ in range(4))
        )
    paid = [c.cost.nanodollars for c in found]
    assert sorted(cost or 0 for cost in paid) == [0, 0, 0, 100 * 300 + 2 * 1_200]
    assert [c.usage.input_tokens for c in found if c.source == "coalesced"] == [0] * 3
    assert sum(a.cost.nanodollars or 0 for a in seen.attempts) == sum(cost or 0 for cost in paid)


async def test_forced_path_takes_no_routes_answer(
    config_file: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A forced path answers for itself: an escalated answer to the same text is not its own."""
    short_model.answers(completion("who knows"))
    long_model.answers(completion("login"))
    async with pipeline(config_file, Remembering(), MemoryCache(10)) as hallway:
        assert isinstance(await _answered(hallway, 10.0), Classification)
        with pytest.raises(NoLabel):
            await hallway.classify(TICKET, Wish("classify", 10.0, forced_path="short"))
