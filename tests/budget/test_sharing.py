"""Several processes and one real Redis: together they never spend more than the cap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.budget.book import TOTAL, Hold
from classifier.budget.daily import DailyBudget
from classifier.budget.exchange import report
from classifier.cache.connection import connect
from classifier.cache.redis import RedisCache
from classifier.config.budget import Budget, Step
from classifier.money import NANODOLLARS_PER_DOLLAR as DOLLAR
from classifier.records import UNKNOWN_COST, Cost
from tests.support.parts import Remembering, cache_config
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

CAP = 1 * DOLLAR
MORNING = 1_795_000_000.0  # in November 2026
Cast = list["Process"]


class Process:
    """One process with its own connections; `crash` leaves everything as it is."""

    def __init__(self, budget: DailyBudget, store: RedisCache | None) -> None:
        self.budget = budget
        self.store = store
        self.holds: list[Hold] = []
        self.spent = 0
        self.overran = 0

    async def reserve(self, amount: int, path: str = "short") -> bool:
        hold = await self.budget.reserve(path, amount)
        if hold is not None:
            self.holds.append(hold)
        return hold is not None

    def settle(self, cost: int) -> None:
        """The oldest call ends and costs so much."""
        hold = self.holds.pop(0)
        hold.settle(Cost(cost))
        self.spent += cost
        self.overran += max(0, cost - hold.amount)

    @property
    def at_stake(self) -> int:
        """What this process has spent or may still have to pay."""
        return self.spent + sum(hold.amount for hold in self.holds)


@asynccontextmanager
async def processes(
    server: RedisServer | None, count: int, now: list[float] | None = None, **config: Any
) -> AsyncIterator[Cast]:
    """So many processes that share a budget, as the house wires them."""
    limits = cache_config(redis_timeout_s=1.0, redis_connections=2)
    settings = Budget(**({"usd_per_day": Decimal(1)} | config))
    made: Cast = []
    clock = now or [MORNING]
    for _ in range(count):
        store = None
        if server is not None:
            store = RedisCache(connect(server.url, limits), limits, Remembering())
            await store.start()
        budget = DailyBudget(wall=lambda: clock[0])
        budget.connect(store, "classifier:budget:test")
        budget.configure(settings)
        made.append(Process(budget, store))
    try:
        yield made
    finally:
        for process in made:
            await process.budget.aclose()
            if process.store is not None:
                await process.store.aclose()


def booked(server: RedisServer, scope: str = TOTAL) -> int:
    """What Redis holds against the cap today."""
    key = server.command("KEYS", "classifier:budget:*").split(b"\r\n")[2].decode()
    return int(server.command("HGET", key, f"booked|{scope}").split(b"\r\n")[1])


# ---------------------------------------------------------------------------- the cap holds

_AMOUNTS = st.integers(1, CAP // 8)
_STEPS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["ask", "end", "report", "crash", "stop"]), _AMOUNTS
    ),
    min_size=5,
    max_size=60,
)


@given(schedule=_STEPS, slice_share=st.sampled_from([0.01, 0.1, 1.0]))
def test_cap_holds_in_any_order(
    redis_of_module: RedisServer, schedule: list[tuple[int, str, int]], slice_share: float
) -> None:
    """Whoever asks, ends, reports, stops or crashes when: never more than the cap is given out."""
    redis_of_module.command("FLUSHALL")

    async def play() -> None:
        async with processes(redis_of_module, 3, slice_share=slice_share) as cast:
            living = list(cast)
            for who, what, amount in schedule:
                if who < len(living):
                    await _act(living, living[who], what, amount)
                at_stake = sum(process.at_stake for process in cast)
                assert at_stake <= CAP + sum(process.overran for process in cast)

    asyncio.run(play())


async def _act(living: Cast, process: Process, what: str, amount: int) -> None:
    if what == "ask":
        await process.reserve(amount)
    elif what == "end" and process.holds:
        process.settle(amount)  # less or more than was set aside
    elif what == "report":
        await process.budget.report()
    elif what == "crash" and len(living) > 1:
        living.remove(process)
    elif what == "stop" and len(living) > 1:
        while process.holds:
            process.settle(0)
        await process.budget.aclose()
        living.remove(process)


async def test_all_of_the_cap_can_be_spent(redis_server: RedisServer) -> None:
    """Four processes spend it side by side: at the end hardly anything is left, and nothing over."""
    price = CAP // 1_000
    async with processes(redis_server, 4) as cast:
        randomly = random.Random(4)

        async def spend(process: Process) -> None:
            while await process.reserve(price):
                await asyncio.sleep(randomly.random() / 1_000)
                process.settle(price)

        await asyncio.gather(*(spend(process) for process in cast))
        assert 0.99 * CAP <= sum(process.spent for process in cast) <= CAP
        assert {process.budget.step for process in cast} == {"cache_only"}


async def test_few_questions_to_redis(redis_server: RedisServer) -> None:
    """A thousand calls out of one slice cost Redis a handful of questions, not a thousand."""
    async with processes(redis_server, 1, slice_share=0.1) as (process,):
        for _ in range(1_000):
            assert await process.reserve(CAP // 10_000)
            process.settle(CAP // 10_000)
        reports = process.budget.book.reports
    assert reports <= 5


async def test_stop_gives_back(redis_server: RedisServer) -> None:
    """A process that stops leaves in Redis what it spent, to the nano-dollar, and no lease."""
    async with processes(redis_server, 1) as (process,):
        assert await process.reserve(500)
        process.settle(123)
        assert booked(redis_server) > 123
    assert booked(redis_server) == 123


async def test_crash_strands_one_slice_at_most(redis_server: RedisServer) -> None:
    """What a crashed process had leased counts as spent, and it is no more than a slice."""
    async with processes(redis_server, 2) as (crashed, living):
        assert await crashed.reserve(1_000)
        crashed.settle(1_000)
        await crashed.budget.report()
        stranded = booked(redis_server) - 1_000
        assert 0 < stranded <= CAP // 100
        while await living.reserve(CAP // 1_000):
            living.settle(CAP // 1_000)
        assert living.spent <= CAP - 1_000 - stranded
        assert living.spent >= CAP - 1_000 - stranded - 2 * (CAP // 1_000)


async def test_lease_shrinks_to_a_slice(redis_server: RedisServer) -> None:
    """A call that set half of the day aside and came to little leaves one slice in the lease, not half."""
    async with processes(redis_server, 1) as (process,):
        assert await process.reserve(CAP // 2)
        process.settle(1_000)
        await process.budget.report()
        assert booked(redis_server) <= 1_000 + CAP // 100


async def test_lost_redis_is_told_again(redis_server: RedisServer) -> None:
    """A Redis that comes back empty learns from the living what they have spent: nothing is spent twice."""
    async with processes(redis_server, 2) as cast:
        for process in cast:
            assert await process.reserve(CAP * 2 // 5)
            process.settle(CAP * 2 // 5)
            await process.budget.report()
        redis_server.command("FLUSHALL")
        for process in cast:
            await process.budget.report()
        for process in cast:
            while await process.reserve(CAP // 100):
                process.settle(CAP // 100)
        assert sum(process.spent for process in cast) <= CAP


async def test_reply_that_is_lost_is_no_money_lost(redis_server: RedisServer) -> None:
    """A report whose reply never came is put right by the next: the lease in it is not counted twice."""
    async with processes(redis_server, 1) as (process,):
        store, book = process.store, process.budget.book
        assert store is not None
        account = book.accounts[TOTAL]
        await process.budget.report()
        claim = account.claim(CAP // 2)
        lost = "classifier:budget:test:" + book.day.name
        await report(store, lost, book.process, book.reports + 1, {TOTAL: claim})
        book.reports += 1
        assert booked(redis_server) > account.booked
        await process.budget.report()
        assert booked(redis_server) == account.booked


async def test_late_report_changes_nothing(redis_server: RedisServer) -> None:
    """A report that a newer one has overtaken on the way does not bring old figures back."""
    async with processes(redis_server, 1) as (process,):
        store, book = process.store, process.budget.book
        assert store is not None
        key = "classifier:budget:test:" + book.day.name
        old = book.accounts[TOTAL].claim(0)
        assert await process.reserve(CAP // 2)
        await process.budget.report()
        before = booked(redis_server)
        await report(store, key, book.process, 0, {TOTAL: old})
        assert booked(redis_server) == before


async def test_overtaken_report_is_no_silence(redis_server: RedisServer) -> None:
    """Redis that knows a newer report has answered: nobody goes on alone, and nothing is granted."""
    async with processes(redis_server, 1) as (process,):
        assert await process.reserve(CAP // 10)
        process.budget.book.reports -= 1
        assert await process.budget.report()
        assert not process.budget.is_alone
        process.budget.book.reports -= 1
        assert await process.reserve(CAP // 2)


async def test_cold_burst_is_paid(redis_server: RedisServer) -> None:
    """Small calls that come while a first, large one waits take nothing of what it was granted."""
    async with processes(redis_server, 1, slice_share=0.0001) as (process,):
        cold = [asyncio.ensure_future(process.reserve(CAP // 200)) for _ in range(80)]
        late = []
        while not cold[0].done():
            await asyncio.sleep(0)
            late.append(asyncio.ensure_future(process.reserve(CAP // 50_000)))
        assert all(await asyncio.gather(*cold, *late[:5_000]))
        assert process.budget.step is None


async def test_cold_burst_beyond_the_cap_is_served_in_its_order(redis_server: RedisServer) -> None:
    """Who came first is paid; the others are refused for now, not until the reset."""
    async with processes(redis_server, 1) as (process,):
        found = await asyncio.gather(*(process.reserve(CAP * 3 // 10) for _ in range(10)))
        assert found == [True] * 3 + [False] * 7
        assert process.budget.step is None
        assert process.budget.retry_after_s(["short"]) <= 5
        while process.holds:
            process.settle(CAP // 1_000)
        assert await process.reserve(CAP * 3 // 10)


async def test_cancelled_waiter_leaves_nothing_behind(redis_server: RedisServer) -> None:
    """Whenever a caller goes away, nothing stays held for it and nobody waits behind it."""
    async with processes(redis_server, 1, slice_share=0.0001) as (process,):
        for turns in range(60):
            waiter = asyncio.ensure_future(process.reserve(CAP // 4))
            for _ in range(turns):
                await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            while process.holds:
                process.settle(0)
            account = process.budget.accounts[TOTAL]
            assert (account.held, account.waiting) == (0, 0)
            await process.budget.report()


# ---------------------------------------------------------------------------- without Redis


async def test_money_that_is_only_held_is_not_spent() -> None:
    """Calls that do not fit beside those under way are refused alone: the day goes on after them."""
    async with processes(None, 1) as (process,):
        found = await asyncio.gather(*(process.reserve(CAP * 3 // 10) for _ in range(10)))
        assert found == [True] * 3 + [False] * 7
        assert process.budget.step is None
        assert process.budget.retry_after_s(["short"]) <= 5
        while process.holds:
            process.settle(CAP // 1_000)
        assert process.budget.step is None
        assert await process.reserve(CAP * 3 // 10)


async def test_spent_is_said_until_the_reset() -> None:
    """When not even the smallest call could be paid any more, asking again helps tomorrow only."""
    async with processes(None, 1) as (process,):
        for _ in range(3):
            assert await process.reserve(CAP * 3 // 10)
            process.settle(CAP * 3 // 10)
        assert process.budget.step == "cache_only"
        assert process.budget.retry_after_s(["short"]) > 5


async def test_without_redis_each_has_the_cap() -> None:
    """A process that shares nothing spends its own cap, and not a nano-dollar more."""
    async with processes(None, 1) as (process,):
        assert await process.reserve(CAP)
        assert not await process.reserve(1)
        process.settle(CAP - 10)
        assert await process.reserve(10)
        assert not await process.reserve(1)


async def test_alone_while_redis_is_away(redis_server: RedisServer) -> None:
    """Redis dies: each process goes on with its lease and its own share, then stops; later it is told."""
    async with processes(redis_server, 2, alone_share=0.2) as cast:
        for process in cast:
            await process.budget.report()
        redis_server.kill()
        for process in cast:
            while await process.reserve(CAP // 100):
                process.settle(CAP // 100)
            assert 0.19 * CAP <= process.spent <= 0.2 * CAP + CAP // 100
            assert process.budget.is_alone
            assert process.budget.retry_after_s() <= 30
        redis_server.start()
        for process in cast:
            await eventually(process.budget.report, within_s=15.0)
        assert booked(redis_server) >= sum(process.spent for process in cast)
        assert not cast[0].budget.is_alone
        assert await cast[0].reserve(CAP // 100)


async def test_hung_redis_costs_little(redis_server: RedisServer) -> None:
    """A Redis that hangs is waited for a few times at most; then calls are paid at once."""
    async with processes(redis_server, 1, slice_share=0.0001) as (process,):
        redis_server.pause()
        found = [await process.reserve(CAP // 10_000) for _ in range(100)]
        redis_server.resume()
        assert all(found)
        assert process.budget.book.reports <= 3


# ---------------------------------------------------------------------------- scopes, steps, days


async def test_path_has_its_own_cap(redis_server: RedisServer) -> None:
    """A path that has spent its own is refused while the other goes on; both count for the total."""
    async with processes(redis_server, 1, paths={"long": Decimal("0.1")}) as (process,):
        assert await process.reserve(CAP // 10, "long")
        assert not await process.reserve(1, "long")
        process.settle(CAP // 10)
        assert await process.reserve(CAP // 2, "short")
        assert process.budget.accounts["path:long"].ratio == 1.0
        assert process.budget.step is None


async def test_unknown_costs_count() -> None:
    """No price: the configured amount is set aside. No usage: all that was set aside counts as spent."""
    async with processes(None, 1, unknown_call_usd=Decimal("0.25")) as (process,):
        unpriced = await process.budget.reserve("short", None)
        priced = await process.budget.reserve("short", 1_000)
        assert unpriced is not None
        assert priced is not None
        for hold in (unpriced, priced):
            hold.settle(UNKNOWN_COST)
        assert process.budget.accounts[TOTAL].spent == CAP // 4 + 1_000


async def test_steps_in_their_order() -> None:
    """The golden day: what is given up at 79, 80, 90 and 100 cents of a dollar, and the alarms."""
    steps = (
        Step(at=0.8, give_up="no_shadows"),
        Step(at=0.9, give_up="cheapest"),
        Step(at=1.0, give_up="cache_only"),
    )
    cents = {
        0: (None, 0.0), 49: (None, 0.0), 50: (None, 0.5), 79: (None, 0.5), 80: ("no_shadows", 0.8),
        89: ("no_shadows", 0.8), 90: ("cheapest", 0.8), 99: ("cheapest", 0.8), 100: ("cache_only", 1.0),
    }  # fmt: skip
    async with processes(None, 1, steps=steps) as (process,):
        for spent in range(101):
            if spent in cents:
                assert (process.budget.step, process.budget.alarm) == cents[spent], spent
            if spent < 100:
                assert await process.reserve(CAP // 100)
                process.settle(CAP // 100)


async def test_next_day_is_new(redis_server: RedisServer) -> None:
    """At the reset the money is there again; a call that began before counts for the day before."""
    now = [MORNING]
    async with processes(redis_server, 1, now) as (process,):
        assert await process.reserve(CAP)
        assert process.budget.step == "cache_only" or not await process.reserve(1)
        now[0] += process.budget.retry_after_s()
        assert process.budget.step is None
        process.settle(CAP // 2)
        assert process.budget.accounts[TOTAL].spent == 0
        assert await process.reserve(CAP // 2)
    days = redis_server.command("KEYS", "classifier:budget:*").count(b"classifier:budget")
    assert days == 2
    for word in redis_server.command("KEYS", "classifier:budget:*").split(b"\r\n")[2::2]:
        assert int(redis_server.command("PTTL", word.decode())[1:]) > 0


async def test_clock_set_back_finds_the_old_day(redis_server: RedisServer) -> None:
    """A wall clock that jumps over the reset and back gives nobody the old day's money again."""
    now = [MORNING]
    async with processes(redis_server, 2, now) as (process, other):
        assert await process.reserve(CAP // 2)
        process.settle(CAP // 2)
        now[0] += 86_400
        assert await process.reserve(CAP // 2)
        process.settle(CAP // 2)
        now[0] -= 86_400
        assert process.budget.accounts[TOTAL].spent == CAP // 2
        await process.budget.report()
        assert not await other.reserve(CAP * 2 // 3)


async def test_changed_cap_holds_at_once(redis_server: RedisServer) -> None:
    """A lower cap counts what is spent already; a higher one opens the purse again."""
    async with processes(redis_server, 1) as (process,):
        assert await process.reserve(CAP // 2)
        process.settle(CAP // 2)
        process.budget.configure(Budget(usd_per_day=Decimal("0.4")))
        await process.budget.report()
        assert process.budget.step == "cache_only"
        process.budget.configure(Budget(usd_per_day=Decimal(2)))
        assert await process.reserve(CAP)


@pytest.fixture(scope="module")
def redis_of_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server for all examples of the property."""
    folder: Path = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()
