"""A path in the shadow: asked beside the answer, measured, paid for apart, and in nobody's way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from classifier.cache.memory import MemoryCache
from classifier.pipeline import Wish
from classifier.records import Ticket
from tests.support.house import Service, edited, service, write_config
from tests.support.parts import Remembering, pipeline
from tests.support.upstream import Upstream, completion
from tests.support.waiting import eventually

WATCHED = """
[[routes]]
name = "watched"
path = "short"
shadow = { path = "long", share = 1.0 }
"""


@pytest.fixture
def watched(tmp_path: Path, short_model: Upstream, long_model: Upstream) -> Path:
    """A config whose short path is watched by the long one, on every ticket."""
    return write_config(tmp_path, short_model.url, long_model.url, WATCHED)


async def _until_compared(house: Service, count: int) -> None:
    async def compared() -> bool:
        return await house.metric("classifier_shadow_comparisons_total") == count

    await eventually(compared, within_s=15.0)


async def test_answer_does_not_wait_for_the_shadow(watched: Path, long_model: Upstream) -> None:
    """While the shadow hangs the ticket is answered; its silence is counted when it ends."""
    long_model.hangs()
    async with service(watched) as house:
        answer = (await house.classify("charged twice")).json()
        assert (answer["path"], answer["label"]) == ("short", "billing")
        assert await house.metric("classifier_shadow_comparisons_total") == 0
        await _until_compared(house, 1)
        assert await house.metric("classifier_attempts_total", reason="shadow", outcome="timeout")
        found = await house.metric("classifier_shadow_comparisons_total", agreement="no_label")
    assert found == 1


async def test_agreement_is_counted(
    watched: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Each shadow says whether it would have given the same label."""
    async with service(watched) as house:
        for number, label in enumerate(["billing", "billing", "login", "who knows"]):
            long_model.answers(completion(label))
            await house.classify(f"ticket {number}")
            await _until_compared(house, number + 1)
        agreement = {
            found: await house.metric("classifier_shadow_comparisons_total", agreement=found)
            for found in ("agree", "disagree", "no_label")
        }
    assert agreement == {"agree": 2, "disagree": 1, "no_label": 1}


async def test_shadow_is_paid_for_apart(watched: Path, long_model: Upstream) -> None:
    """A shadow's cost is booked under its own reason and is no part of the ticket's."""
    async with service(watched) as house:
        answer = (await house.classify("charged twice")).json()
        await _until_compared(house, 1)
        booked = {
            reason: await house.metric("classifier_cost_dollars_total", reason=reason)
            for reason in ("answer", "shadow")
        }
    assert (answer["cost_usd"], answer["usage"]["input_tokens"]) == ("0.0000324", 100)
    assert booked == {"answer": 0.0000324, "shadow": 0.0000162}


async def test_failing_shadow_changes_nothing(watched: Path, long_model: Upstream) -> None:
    """A shadow that fails is counted, and the ticket never hears of it."""
    long_model.answers({}, 500)
    async with service(watched) as house:
        answer = (await house.classify("charged twice")).json()
        await _until_compared(house, 1)
    assert (answer["label"], answer["cost_status"]) == ("billing", "exact")


async def test_cached_answers_cast_no_shadow(watched: Path, long_model: Upstream) -> None:
    """Only a model's answer is compared: a repeated ticket pays for no second shadow."""
    async with service(watched) as house:
        await asyncio.gather(*(house.classify("charged twice") for _ in range(5)))
        await house.classify("charged twice")
        await _until_compared(house, 1)
    assert len(long_model.calls) == 1


async def test_share_decides_who_is_watched(
    watched: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A share of the tickets is watched, chosen by id: the same one always or never."""
    half = edited(watched, "share = 1.0", "share = 0.5")
    async with pipeline(half, Remembering()) as hallway:
        wish = Wish("classify", 10.0, use_cache=False)
        for _ in range(2):
            for number in range(20):
                await hallway.classify(Ticket(body=f"body {number}", id=f"id{number}"), wish)
    seen = [call.ticket for call in long_model.calls]
    assert 0 < len(set(seen)) < 20
    assert sorted(seen) == sorted(2 * list(set(seen)))


async def test_shadows_under_way_are_finished(watched: Path, long_model: Upstream) -> None:
    """Closing waits for shadows: what was asked and paid for is compared and booked."""
    long_model.delay_s = 0.2
    seen = Remembering()
    async with pipeline(watched, seen, MemoryCache(10)) as hallway:
        await hallway.classify(Ticket(body="charged twice"), Wish("classify", 10.0))
        assert seen.shadows == []
    assert seen.shadows == [("long", "agree")]
    assert [attempt.reason for attempt in seen.attempts] == ["answer", "shadow"]


async def test_shadows_are_bounded(watched: Path, long_model: Upstream) -> None:
    """A shadow that hangs cannot pile up calls: beyond 64 they are dropped, counted by its path."""
    long_model.hangs()
    seen = Remembering()
    patient = edited(watched, "timeout_s = 1.0", "timeout_s = 20.0", 1)
    async with pipeline(patient, seen, MemoryCache(100)) as hallway:
        wish = Wish("classify", 30.0)
        for ten in range(7):
            tickets = [Ticket(body=f"ticket {ten}{number}") for number in range(10)]
            await asyncio.gather(*(hallway.classify(ticket, wish) for ticket in tickets))
        assert seen.shadows == [("long", "dropped")] * 6
    assert seen.shadows[6:] == [("long", "no_label")] * 64
