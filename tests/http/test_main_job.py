"""The main job through the front door."""

from __future__ import annotations

import asyncio

from tests.support.house import Service
from tests.support.upstream import Upstream, completion


async def test_second_identical_ticket_is_free(house: Service, short_model: Upstream) -> None:
    """A ticket seen before costs nothing, says so, and keeps its label."""
    first = (await house.classify("charged twice")).json()
    second = (await house.classify("charged  twice")).json()
    assert (first["source"], second["source"]) == ("model", "cache")
    assert second["cost_usd"] == "0"
    assert second["label"] == first["label"] == "billing"
    assert len(short_model.calls) == 1


async def test_identical_tickets_share_one_call(house: Service, short_model: Upstream) -> None:
    """100 identical tickets at once are one upstream call."""
    short_model.delay_s = 0.2
    answers = await asyncio.gather(*(house.classify("same text") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(short_model.calls) == 1
    paid = [answer.json()["source"] for answer in answers].count("model")
    assert paid == 1


async def test_long_answers_when_short_is_unsure(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """An answer that is no label goes on to the long path and is booked as an escalation."""
    short_model.answers(completion("I think it could be billing"))
    long_model.answers(completion("Login."))
    answer = (await house.classify("cannot get in")).json()
    assert (answer["label"], answer["path"], answer["escalated_from"]) == ("login", "long", "short")
    assert answer["usage"]["input_tokens"] == 200
    assert await house.metric("classifier_attempts_total", path="long", reason="escalation") == 1
