"""The purse that every call to a model is paid from, and how far the day's money has gone.

Calls are paid from a slice that this process has leased; Redis is asked for the next one in the
background, so hardly any ticket waits for it. Without Redis each process has the whole cap.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping

from classifier.budget.account import Account, Claim, Shared
from classifier.budget.book import TOTAL, Book, Hold
from classifier.budget.day import day_at
from classifier.budget.exchange import report
from classifier.budget.line import Line, Waiter
from classifier.config.budget import Budget as BudgetConfig
from classifier.config.budget import StepName
from classifier.logs import event
from classifier.money import nanodollars
from classifier.ports import Store

ALARMS = (0.5, 0.8, 1.0)
REPORT_EVERY_S = 5.0
_REDIS_MAY_BE_BACK_S = 30
_CALLS_MAY_END_S = 5  # what they hold and do not spend comes back
_REPORTS_WAITED_FOR = 3  # one under way, one's own, and one in place of a reply that was lost
_DAYS_KEPT = 3  # the wall clock may be set back: a day that returns has its old figures


class DailyBudget:
    """The Purse of one process. Promise: no ticket waits longer than one call to Redis may take."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """Without a cap until `configure`."""
        self._config = BudgetConfig()
        self._store: Store | None = None
        self._key = ""
        self._wall = wall
        self._books: dict[str, Book] = {}
        self._report: asyncio.Task[bool] | None = None
        self._line = Line()
        self._is_closed = False
        self._told: tuple[StepName | None, float] = (None, 0.0)
        self.book = self._open()
        self.is_alone = False

    def connect(self, store: Store | None, key: str) -> None:
        """Where all replicas meet, and under which key; before the first call."""
        self._store, self._key = store, key

    def configure(self, config: BudgetConfig) -> None:
        """New caps hold at once, for the money that is spent already too."""
        self._config = config
        self.book = self._open()
        for book in self._books.values():
            book.set_caps(config.caps, leased=self._store is not None)

    # -- calls ---------------------------------------------------------------------------------

    async def reserve(self, path: str, amount: int | None) -> Hold | None:
        """Sets money aside for a call that may cost `amount`; None when the day's is spent.

        `amount` is None for a path without a price.
        """
        if amount is None:
            amount = nanodollars(str(self._config.unknown_call_usd))
        call = Waiter(self._today().of(path), amount)
        for account in call.accounts:
            account.asked(amount)
        is_next = not any(account.waiting for account in call.accounts)
        if not (is_next and call.take()) and not await self._granted(call):
            return None
        self._refill(call.accounts)
        return Hold(amount, call.accounts)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Today's, by scope: `total` and `path:NAME`."""
        return self._today().accounts

    @property
    def step(self) -> StepName | None:
        """What is given up now; None: nothing."""
        total = self._today().accounts.get(TOTAL)
        if total is None:
            return None
        if total.used_up:
            return "cache_only"
        reached = [step.give_up for step in self._config.steps if total.ratio >= step.at]
        return reached[-1] if reached else None

    def retry_after_s(self, paths: Collection[str] = ()) -> int:
        """Until the next day, until Redis may be back, or until calls under way may have ended.

        `paths`: those that were asked in vain; none when nobody was, at the last step.
        """
        left_s = max(1, round(self._today().day.ends_at - self._wall()))
        if self.is_alone:
            return min(left_s, _REDIS_MAY_BE_BACK_S)
        for path in paths:
            if not any(account.used_up for account in self._today().of(path)):
                return min(left_s, _CALLS_MAY_END_S)
        return left_s

    @property
    def alarm(self) -> float:
        """The highest of 0, 0.5, 0.8 and 1 that the day's spending has reached."""
        total = self._today().accounts.get(TOTAL)
        return 0.0 if total is None else max((a for a in ALARMS if total.ratio >= a), default=0.0)

    # -- Redis ---------------------------------------------------------------------------------

    async def keep_reporting(self) -> None:
        """So that every replica knows what the others have spent. Runs until it is cancelled."""
        while True:
            if self._today().accounts:
                await self.report()
                self._log_change()
            await asyncio.sleep(REPORT_EVERY_S)

    async def report(self) -> bool:
        """One report at a time, shared by whoever waits for it; false when Redis did not answer."""
        if self._store is None or self._is_closed:
            return False
        if self._report is None or self._report.done():
            self._report = asyncio.ensure_future(self._exchange(self._store))
        return await asyncio.shield(self._report)

    async def aclose(self) -> None:
        """Gives back what is left of the leases. After the last call."""
        self._is_closed = True
        if self._report is not None:
            await self._report
        if self._store is not None:
            for book in self._books.values():
                await self._send(self._store, book, book.last_claims())

    async def _exchange(self, store: Store) -> bool:
        today = self._today()
        for book in [*self._books.values()]:
            if book is not today and book.last_claims() != book.told:
                await self._send(store, book, book.last_claims())
        waited = self._line.all()
        claims = {s: account.claim(self._slice(account)) for s, account in today.accounts.items()}
        told = await self._send(store, today, claims)
        self.is_alone = told is None
        if told is None:
            self._line.serve(waited, self._take_alone)
        else:  # before anybody else can run: what was granted for those who wait is theirs
            self._line.serve(waited if told else ())
        return told is not None

    async def _send(
        self, store: Store, book: Book, claims: dict[str, Claim]
    ) -> dict[str, Shared] | None:
        """As `report`."""
        book.reports += 1
        key = f"{self._key}:{book.day.name}"
        told = await report(store, key, book.process, book.reports, claims)
        for scope, shared in (told or {}).items():
            if scope in book.accounts:
                book.accounts[scope].learn(claims[scope], shared)
        if told:
            book.told = claims
        return told

    async def _granted(self, call: Waiter) -> bool:
        """Waits for one report, two when one was under way; then the own share, if Redis is away."""
        if self._store is None or self._is_closed or call.is_hopeless:
            return False
        if self.is_alone:
            return self._take_alone(call)
        self._line.join(call)
        try:
            for _ in range(_REPORTS_WAITED_FOR):
                await self.report()
                if call.is_paid or call.is_answered:
                    break
        except asyncio.CancelledError:
            call.give_back()
            raise
        finally:
            self._line.leave(call)
        return call.is_paid

    def _take_alone(self, call: Waiter) -> bool:
        share = self._config.alone_share
        for account in call.accounts:
            account.take_alone(call.amount, int(account.cap * share))
        return call.take()

    def _refill(self, accounts: list[Account]) -> None:
        """Asks for the next slice in the background when half of the last one is gone."""
        if self._store is None or self._is_closed or self.is_alone:
            return
        if self._report is not None and not self._report.done():
            return
        if any(a.is_low(self._slice(a)) and not a.used_up for a in accounts):
            self._report = asyncio.ensure_future(self._exchange(self._store))

    def _slice(self, account: Account) -> int:
        return int(account.cap * self._config.slice_share)

    def _log_change(self) -> None:
        found = (self.step, self.alarm)
        if found != self._told:
            self._told = found
            event(logging.WARNING, "budget.changed", step=found[0] or "none", alarm=found[1])

    # -- days ----------------------------------------------------------------------------------

    def _today(self) -> Book:
        if not self.book.day.covers(self._wall()):
            self.book = self._open()
        return self.book

    def _open(self) -> Book:
        day = day_at(self._wall(), self._config.time_zone, self._config.resets_at)
        if day.name not in self._books:
            self._books[day.name] = Book(day)
            self._books[day.name].set_caps(self._config.caps, leased=self._store is not None)
            for oldest in sorted(self._books)[:-_DAYS_KEPT]:
                del self._books[oldest]
        return self._books[day.name]
