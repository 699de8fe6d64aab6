"""Callers that come, wait, change their mind and go, in virtual time: no slot is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.admission.admission import Admission
from classifier.admission.gate import PRIORITIES
from classifier.cache.coalescing import Coalescing
from classifier.config.overload import Overload
from classifier.errors import Overloaded
from classifier.records import Door
from tests.support.parts import Gatekeeper
from tests.support.virtual_time import clock, run

NARROW = Overload(
    adaptive=False, min_concurrency=1, initial_concurrency=4, queue_length=6, queue_wait_s=0.5
)
DOORS: tuple[Door, ...] = ("classify", "batch", "command")


async def _crowd(seed: int) -> tuple[Admission, Gatekeeper, int]:
    """200 callers over 40 texts; a third of them is cancelled at a random moment."""
    random, seen = Random(seed), Gatekeeper()
    admission = Admission(NARROW, seen, clock())
    calls: Coalescing[str] = Coalescing(admission.abandon)
    most = 0

    async def ask(key: str, door: Door, until: float) -> str:
        nonlocal most
        async with admission.slot(key, door, until):
            most = max(most, admission.gate.in_use)
            await asyncio.sleep(random.uniform(0.01, 0.3))
            if random.random() < 0.1:
                raise OSError("a model that breaks")
        return key

    async def caller() -> None:
        await asyncio.sleep(random.uniform(0, 3))
        key, door = f"text {random.randrange(40)}", random.choice(DOORS)
        until = clock()() + random.uniform(0.05, 3)
        admission.hurry(key, door)
        with contextlib.suppress(Overloaded, OSError):
            assert (await calls.run(key, lambda: ask(key, door, until)))[0] == key

    tasks = [asyncio.create_task(caller()) for _ in range(200)]
    for task in random.sample(tasks, 70):
        asyncio.get_running_loop().call_later(random.uniform(0, 3.5), task.cancel)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [one for one in ended if isinstance(one, Exception)]
    await calls.drain()
    return admission, seen, most


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_no_slot_is_lost(seed: int) -> None:
    """Whoever comes, is cancelled, gives up or breaks: in the end every slot is free and nobody waits."""
    admission, seen, most = run(_crowd(seed), seed=seed)
    gate = admission.gate
    assert most <= NARROW.initial_concurrency
    assert gate.held == dict.fromkeys(PRIORITIES, 0)
    assert [gate.waiting(priority) for priority in PRIORITIES] == [0, 0, 0]
    assert not admission._places  # noqa: SLF001 -- what would leak
    assert seen.admissions


def test_crowd_is_one() -> None:
    """The crowd above really fills the slots, waits and is refused: otherwise it would prove nothing."""
    _, seen, most = run(_crowd(1), seed=1)
    assert most == NARROW.initial_concurrency
    assert any(waited > 0 for _, waited in seen.admissions)
    assert seen.refusals


def test_granted_and_cancelled_at_once() -> None:
    """A slot that is granted to somebody who was cancelled in the same moment goes to the next one."""

    async def scene() -> int:
        one = Overload(adaptive=False, min_concurrency=1, initial_concurrency=1)
        admission = Admission(one, Gatekeeper(), clock())

        async def hold(key: str, seconds: float) -> None:
            async with admission.slot(key, "batch", clock()() + 100):
                await asyncio.sleep(seconds)

        first, second, third = (asyncio.create_task(hold(key, 1)) for key in "abc")
        asyncio.get_running_loop().call_later(1.0, second.cancel)  # as the first one ends
        await asyncio.gather(first, second, third, return_exceptions=True)
        return admission.gate.in_use

    assert {run(scene(), seed=seed) for seed in range(20)} == {0}


def test_retry_after_is_spread() -> None:
    """Those refused together are told different times to come back."""

    async def scene() -> set[int | None]:
        admission = Admission(Overload(max_in_flight=1), Gatekeeper(), clock())
        found = set()
        for _ in range(30):
            with pytest.raises(Overloaded) as refused:
                admission.check("classify", 1)
            found.add(refused.value.retry_after_s)
        return found

    assert run(scene()) == {1, 2, 3}
