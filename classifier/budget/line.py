"""Calls that wait for money, first come, first served."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import Struct

from classifier.budget.account import Account


class Waiter(Struct, eq=False):
    """One call that waits. `is_paid`: its money is held; `is_answered`: Redis knew of it and said."""

    accounts: list[Account]
    amount: int
    is_paid: bool = False
    is_answered: bool = False

    @property
    def is_hopeless(self) -> bool:
        """An account is used up: asking again for every ticket would not help."""
        return any(account.used_up and not account.fits(self.amount) for account in self.accounts)

    def give_back(self) -> None:
        """The call is not made after all."""
        if self.is_paid:
            for account in self.accounts:
                account.settle(self.amount, 0)

    def take(self) -> bool:
        """Holds the amount, if every account has it."""
        if not all(account.fits(self.amount) for account in self.accounts):
            return False
        for account in self.accounts:
            account.hold(self.amount)
        return True


class Line:
    """Promise: what was granted to those who wait is theirs, not the next comer's."""

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []

    def join(self, waiter: Waiter) -> None:
        self._waiters.append(waiter)
        for account in waiter.accounts:
            account.waiting += waiter.amount

    def leave(self, waiter: Waiter) -> None:
        """Out of patience or cancelled; nothing to do for one that was served."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            for account in waiter.accounts:
                account.waiting -= waiter.amount

    def all(self) -> tuple[Waiter, ...]:
        return tuple(self._waiters)

    def serve(
        self, answered: Collection[Waiter], take: Callable[[Waiter], bool] = Waiter.take
    ) -> None:
        """After a report. `answered`: who was in line when it was written, and got an answer."""
        for waiter in self.all():
            waiter.is_answered = waiter.is_answered or waiter in answered
            waiter.is_paid = take(waiter)
            if waiter.is_paid or waiter.is_answered:
                self.leave(waiter)
