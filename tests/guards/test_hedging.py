"""A second call beside a slow one: who wins, who pays, and when there is none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from classifier.attempts import Run
from classifier.config.guards import Hedge
from classifier.config.schema import Escalate
from classifier.records import Attempt, Cost
from classifier.routing import Plan
from tests.support.virtual_model import Desk, Drawn, VirtualModel
from tests.support.virtual_time import clock, run

HEDGE = Hedge(warmup_s=0.3)
SLOW, QUICK = Drawn(1.0), Drawn(0.1)


def _model(*drawn: Drawn) -> VirtualModel:
    """Answers in turn, then quickly."""
    waiting = list(drawn)
    return VirtualModel(lambda: waiting.pop(0) if waiting else QUICK)


def _asked(drawn: Sequence[Drawn], deadline_s: float = 8.0) -> tuple[Run, Desk, float]:
    """One ticket over a model that answers like this: what came of it, and how long it took."""

    async def one() -> tuple[Run, Desk, float]:
        desk = Desk(_model(*drawn), random.Random(1), timeout_s=4.0, hedge=HEDGE)
        found = await desk.ask(deadline_s)
        took = clock()()
        await desk.runner.aclose()
        assert desk.model.open == 0
        assert desk.seen.attempts == list(found.attempts)
        return found, desk, took

    return run(one())


def _steps(found: Run) -> list[tuple[str, str]]:
    return [(a.reason, a.outcome) for a in found.attempts]


def test_a_quick_answer_has_no_second_call() -> None:
    """Before the delay has passed nothing extra is asked."""
    found, desk, took = _asked([Drawn(0.29)])
    assert _steps(found) == [("answer", "labelled")]
    assert desk.seen.hedges == []
    assert took == pytest.approx(0.29)


def test_the_second_call_wins() -> None:
    """A straggler is overtaken: the label comes at delay + one quick call, and the ticket is billed for both."""
    found, desk, took = _asked([SLOW, QUICK])
    assert took == pytest.approx(0.4)
    assert _steps(found) == [("hedge", "cancelled"), ("answer", "labelled")]
    assert found.decisive == found.attempts[1]
    assert found.model_s == pytest.approx(0.4)
    assert desk.seen.hedges == [("short", "won")]
    assert desk.model.cancelled == 1


def test_the_first_call_wins() -> None:
    """Who comes first wins, whoever it is; the one that lost is hung up on."""
    found, desk, took = _asked([Drawn(0.35), SLOW])
    assert took == pytest.approx(0.35)
    assert _steps(found) == [("answer", "labelled"), ("hedge", "cancelled")]
    assert desk.seen.hedges == [("short", "lost")]


def test_the_loser_is_paid_for() -> None:
    """Nobody says what a call used that was hung up on: its tokens are estimated and flagged, not 0."""
    found, _, _ = _asked([SLOW, QUICK])
    lost = found.attempts[0]
    assert lost.usage is not None
    assert lost.usage.input_tokens == 60 + 1  # the prompt, and a ticket of one letter
    assert lost.cost.status == "estimated"
    assert lost.cost.nanodollars == 61 * 150 + 16 * 600
    assert lost.duration_s == pytest.approx(0.4)


@pytest.mark.parametrize("said", ["nonsense", "garbage", "reset"])
def test_no_label_wins_nothing(said: str) -> None:
    """Nonsense and failures are no win, however early: the other call is waited for."""
    found, desk, took = _asked([SLOW, Drawn(0.1, said)])
    assert took == pytest.approx(1.0)
    assert found.decisive == found.attempts[0]
    assert [a.reason for a in found.attempts] == ["answer", "hedge"]
    assert desk.seen.hedges == [("short", "lost")]


def test_neither_has_a_label() -> None:
    """Two replies without a label are one answer without a label, and two calls that are paid for."""
    found, desk, _ = _asked([Drawn(1.0, "nonsense"), Drawn(0.1, "nonsense")])
    assert found.decisive is None
    assert _steps(found) == [("answer", "not_a_label"), ("hedge", "not_a_label")]
    assert desk.seen.hedges == [("short", "neither")]


def test_a_failed_first_call_is_saved_by_the_second() -> None:
    """A first call that breaks while the second is under way costs no retry."""
    found, _, took = _asked([Drawn(0.35, "reset"), QUICK])
    assert took == pytest.approx(0.4)
    assert _steps(found) == [("hedge", "reset"), ("answer", "labelled")]


# ---------------------------------------------------------------------------- when there is none


async def _warm(desk: Desk, calls: int = 60) -> None:
    for _ in range(calls):
        await desk.ask()


@pytest.mark.parametrize(
    ("drawn", "deadline_s", "outcome"),
    [
        ([*[SLOW, QUICK] * 3, SLOW], 8.0, "denied_budget"),
        ([Drawn(0.1, "server_error"), Drawn(0.1, "nonsense"), SLOW], 8.0, "denied_busy"),
    ],
)
def test_denied(drawn: Sequence[Drawn], deadline_s: float, outcome: str) -> None:
    """An empty budget, and a 5xx just before: the slow call is waited for, and it is said why."""

    async def day() -> Desk:
        desk = Desk(_model(*drawn), random.Random(1), timeout_s=4.0, hedge=HEDGE)
        while desk.model.calls < len(drawn):
            await desk.ask(deadline_s)
        return desk

    desk = run(day())
    assert desk.seen.hedges[-1] == ("short", outcome)
    assert desk.model.calls == len(drawn)


def test_denied_without_time() -> None:
    """With less time left than a call usually takes, a second one would only be load."""

    async def day() -> tuple[Desk, Run]:
        desk = Desk(
            VirtualModel(lambda: Drawn(0.5)), random.Random(1), timeout_s=4.0,
            hedge=Hedge(max_delay_s=0.4),
        )  # fmt: skip
        for _ in range(60):
            await desk.ask(0.7)
        return desk, await desk.ask(0.7)

    desk, last = run(day())
    assert _steps(last) == [("answer", "labelled")]
    assert desk.seen.hedges[-1] == ("short", "denied_deadline")


def test_the_delay_follows_the_path() -> None:
    """A path that gets three times slower soon has a delay three times as long: p95, at least 1.3 x p50."""

    async def day() -> list[float | None]:
        slow = 1.0
        rng = random.Random(2)
        desk = Desk(
            VirtualModel(lambda: Drawn(slow * rng.uniform(0.1, 0.2))), rng, timeout_s=4.0,
            hedge=HEDGE,
        )  # fmt: skip
        found = [desk.path.guard.hedge_delay_s]
        for slow in (1.0, 3.0):  # noqa: B007 -- the model reads it
            await _warm(desk, 250)
            found.append(desk.path.guard.hedge_delay_s)
        return found

    warmup, before, after = run(day())
    assert warmup == 0.3
    assert before == pytest.approx(0.195, abs=0.01)
    assert after == pytest.approx(0.585, abs=0.03)


def test_cancelled_tickets_leave_nothing_behind() -> None:
    """A thousand races cut off at any moment: no call stays open, no task is left."""

    async def day() -> None:
        rng = random.Random(3)
        model = VirtualModel(lambda: Drawn(rng.uniform(0.05, 1.0)))
        desk = Desk(model, rng, timeout_s=4.0, hedge=Hedge(share=0.1, burst=1_000))
        for _ in range(1_000):
            task = asyncio.create_task(desk.ask())
            await asyncio.sleep(rng.uniform(0.0, 0.8))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await desk.runner.aclose()
        assert model.open == 0
        assert len(asyncio.all_tasks()) == 1

    run(day(), seed=3)


def test_losers_are_told_apart_from_winners() -> None:
    """What the metrics count as `hedge` is exactly what was asked on top."""

    async def day() -> tuple[int, int, list[Attempt]]:
        rng = random.Random(4)
        model = VirtualModel(lambda: Drawn(rng.uniform(0.05, 0.6)))
        desk = Desk(model, rng, timeout_s=4.0, hedge=HEDGE)
        await _warm(desk, 300)
        await desk.runner.aclose()
        return model.calls, len(desk.hedges()), desk.seen.attempts

    calls, hedges, attempts = run(day())
    assert calls == 300 + hedges
    assert hedges > 5
    assert sum(a.reason == "answer" for a in attempts) == 300


class SlowPurse:
    """Pays everything, after a while: a look at another process' books."""

    async def reserve(self, path: str, amount: int | None) -> SlowPurse:
        await asyncio.sleep(0.05)
        return self

    def settle(self, cost: Cost) -> None:
        pass


@pytest.mark.parametrize("hedge", [None, HEDGE])
@pytest.mark.parametrize("purse", [None, SlowPurse()])
def test_a_breaker_is_found_out_by_one_call(hedge: Hedge | None, purse: SlowPurse | None) -> None:
    """Tickets that meet an open breaker when it is due make one probe together, hedge or no hedge."""

    async def day() -> tuple[int, int, str]:
        desk = Desk(_model(SLOW), random.Random(1), timeout_s=4.0, hedge=hedge)
        desk.path = replace(desk.path, purse=purse)
        breaker = desk.path.guard.breaker
        breaker.open("connect")
        await asyncio.sleep(breaker.refuses_for_s)
        found = await asyncio.gather(*(desk.ask() for _ in range(50)))
        return desk.model.calls, sum(bool(one.attempts) for one in found), breaker.state

    assert run(day(), seed=1) == (1, 1, "half_open")


def test_a_cancelled_probe_lets_the_next_one_in() -> None:
    """A ticket that goes away while it waits for the purse does not leave the breaker waiting for it."""

    async def day() -> Run:
        desk = Desk(_model(), random.Random(1), timeout_s=4.0, hedge=HEDGE)
        desk.path = replace(desk.path, purse=SlowPurse())
        breaker = desk.path.guard.breaker
        breaker.open("connect")
        await asyncio.sleep(breaker.refuses_for_s)
        gone = asyncio.create_task(desk.ask())
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert desk.model.calls == 0
        return await desk.ask()

    assert _steps(run(day())) == [("answer", "labelled")]


def test_no_second_call_to_a_paused_path() -> None:
    """A path that asked for more than ten seconds' peace is not hedged to before they are over."""

    async def day() -> tuple[list[tuple[str, str]], int]:
        first = Desk(_model(SLOW), random.Random(1), timeout_s=4.0, hedge=Hedge(to="long"))
        second = Desk(_model(Drawn(0.1, "rate_limited", 30.0)), random.Random(1), timeout_s=4.0)
        await second.ask()
        await asyncio.sleep(15.0)
        long = replace(second.path, name="long")
        paths = {"short": first.path, "long": long}
        await first.runner.run(Plan("test", "short"), paths, "x", clock()() + 8.0)
        return first.seen.hedges, second.model.calls

    assert run(day()) == ([("short", "denied_breaker")], 1)


def test_a_confined_plan_hedges_within_itself() -> None:
    """When only the cheapest path is left, a slow call of it does not start one on a dearer path."""

    async def day(*, confined: bool) -> tuple[int, int]:
        first = Desk(_model(SLOW), random.Random(1), timeout_s=4.0, hedge=Hedge(to="long"))
        second = Desk(_model(), random.Random(1), timeout_s=4.0)
        paths = {"short": first.path, "long": replace(second.path, name="long")}
        plan = Plan("test", "short", confined=confined)
        await first.runner.run(plan, paths, "x", clock()() + 8.0)
        return first.model.calls, second.model.calls

    assert run(day(confined=False)) == (1, 1)
    assert run(day(confined=True)) == (1, 0)


def test_an_escalation_stays_one_when_its_second_call_wins() -> None:
    """Whose label it is does not hang on which of two calls brought it: `escalated_from` is kept."""

    async def day() -> Run:
        short = Desk(_model(Drawn(0.1, "nonsense")), random.Random(1), timeout_s=4.0)
        desk = Desk(_model(SLOW, QUICK), random.Random(1), timeout_s=4.0, hedge=HEDGE)
        paths = {"short": short.path, "long": replace(desk.path, name="long")}
        plan = Plan("test", "short", (Escalate(to="long", below=0.6),))
        return await desk.runner.run(plan, paths, "x", clock()() + 8.0)

    found = run(day())
    assert _steps(found)[1:] == [("hedge", "cancelled"), ("escalation", "labelled")]
    assert found.escalated_from == "short"


def test_two_labels_at_once_have_one_winner() -> None:
    """When both calls end in the same moment, the one that is booked as the ticket's is its answer."""
    found, desk, took = _asked([Drawn(0.5), Drawn(0.2)])
    assert took == pytest.approx(0.5)
    assert desk.seen.hedges == [("short", "lost")]
    assert _steps(found) == [("answer", "labelled"), ("hedge", "labelled")]
    assert found.decisive == found.attempts[0]


@pytest.mark.parametrize(
    ("asked_s", "took_s", "calls"), [(None, 0.3, 2), (0.0, 0.3, 2), (1.0, 1.3, 2), (30.0, 0.1, 1)]
)
def test_a_lonely_path_is_retried_when_it_says(
    asked_s: float | None, took_s: float, calls: int
) -> None:
    """A 503's Retry-After is waited out before the retry when the ticket's time allows for it."""

    async def day() -> tuple[int, float]:
        model = _model(Drawn(0.1, "server_error", asked_s))
        desk = Desk(model, random.Random(1), timeout_s=4.0, retries=1)
        await desk.ask()
        return desk.model.calls, clock()()

    made, took = run(day())
    assert made == calls
    assert took == pytest.approx(took_s, abs=0.1)  # the backoff's jitter
