"""One day of one process: its accounts, and the money set aside for calls under way."""

from __future__ import annotations

from secrets import token_hex

from msgspec import Struct

from classifier.budget.account import Account, Claim
from classifier.budget.day import Day
from classifier.records import Cost

TOTAL = "total"


class Book:
    """This process's accounts of one day. `process` is new with every day: nobody else's figures."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.process = token_hex(8)
        self.reports = 0
        self.told: dict[str, Claim] = {}
        self.accounts: dict[str, Account] = {}

    def set_caps(self, caps: dict[str, int], *, leased: bool) -> None:
        """A cap that is gone no longer holds; what was spent is kept for the ones that stay."""
        self.accounts = {scope: self.accounts.get(scope) or Account() for scope in caps}
        for scope, account in self.accounts.items():
            account.set_cap(caps[scope], leased=leased)

    def last_claims(self) -> dict[str, Claim]:
        """Of a day that is over: what its calls came to, and nothing more."""
        return {scope: account.last_claim() for scope, account in self.accounts.items()}

    def of(self, path: str) -> list[Account]:
        """The accounts that a call on this path is booked to."""
        scopes = (TOTAL, f"path:{path}")
        return [self.accounts[scope] for scope in scopes if scope in self.accounts]


class Hold(Struct):
    """Money that is set aside for one call under way."""

    amount: int
    accounts: list[Account]

    def settle(self, cost: Cost) -> None:
        """The call has ended. Unknown costs count as all that was set aside: never as nothing."""
        unknown = cost.nanodollars is None
        for account in self.accounts:
            account.settle(self.amount, self.amount if unknown else cost.nanodollars or 0)
