"""One process's money of one day for one scope: integer arithmetic, no I/O.

granted   what this process may spend: leased from Redis, its own share, or without Redis the cap
spent     what its calls have cost
held      reserved for calls under way
left      granted - spent - held; below 0 when a call cost more than was reserved for it
"""

from __future__ import annotations

from msgspec import Struct


class Claim(Struct, frozen=True):
    """What a process tells Redis about one scope; all but `need` and `want` are totals of the day."""

    booked: int
    spent: int
    cap: int
    need: int
    want: int


class Shared(Struct, frozen=True):
    """What Redis says: newly granted to us, and the sums over all processes."""

    granted: int
    booked_by_all: int
    spent_by_all: int


class Account:
    """Promise: `hold` gives out no more than was granted."""

    def __init__(self) -> None:
        self.cap = 0
        self.granted = 0
        self.spent = 0
        self.held = 0
        self.alone = 0
        self.waiting = 0
        self._smallest = 0
        self._elsewhere_spent = 0
        self._elsewhere_booked = 0

    def set_cap(self, cap: int, *, leased: bool) -> None:
        """Without a place to lease from, a process may spend the whole cap."""
        if not leased:
            self.granted += cap - self.cap
        self.cap = cap

    @property
    def left(self) -> int:
        return self.granted - self.spent - self.held

    @property
    def booked(self) -> int:
        """What counts against the cap on this process's behalf: its lease, or more if it overran."""
        return max(self.granted, self.spent + self.held)

    @property
    def spent_by_all(self) -> int:
        return self.spent + self._elsewhere_spent

    @property
    def booked_by_all(self) -> int:
        return self.booked + self._elsewhere_booked

    @property
    def used_up(self) -> bool:
        """Not even the smallest call so far could be paid if all calls under way came to nothing.

        Never a call's own bad luck: what is only held may come back, and then it is not used up.
        """
        return self.cap - self.spent - self._elsewhere_booked < max(1, self._smallest)

    @property
    def ratio(self) -> float:
        """Spent part of the cap, over all processes as far as known; 1 when nothing more is granted."""
        if self.used_up or not self.cap:
            return max(1.0, self.spent_by_all / self.cap if self.cap else 1.0)
        return self.spent_by_all / self.cap

    def is_low(self, slice_size: int) -> bool:
        return 2 * self.left < slice_size

    def asked(self, amount: int) -> None:
        """A call would like so much."""
        self._smallest = min(self._smallest or amount, amount)

    def fits(self, amount: int) -> bool:
        return self.left >= amount

    def hold(self, amount: int) -> None:
        self.held += amount

    def settle(self, amount: int, cost: int) -> None:
        """`amount` was held, `cost` is what it came to."""
        self.held -= amount
        self.spent += cost

    def take_alone(self, amount: int, allowance: int) -> bool:
        """Grants itself what is missing for a call, within the day's allowance; Redis is told later."""
        missing = amount - self.left
        if missing > allowance - self.alone:
            return False
        if missing > 0:
            self.alone += missing
            self.granted += missing
        return True

    def claim(self, slice_size: int) -> Claim:
        """A slice when half of the last one is gone, and what waiting calls need.

        What is left beyond a slice goes back: a call that set much aside came to little.
        """
        self.granted = self.booked  # an overrun is spent, whoever granted it
        self.granted -= max(0, self.left - max(slice_size, self.waiting))
        need = max(0, self.waiting - self.left)
        refill = slice_size - self.left if self.is_low(slice_size) else 0
        return Claim(self.granted, self.spent, self.cap, need, max(need, refill))

    def last_claim(self) -> Claim:
        """Gives back what was not spent."""
        self.granted = self.spent + self.held
        return Claim(self.granted, self.spent, self.cap, 0, 0)

    def learn(self, claim: Claim, shared: Shared) -> None:
        self.granted += shared.granted
        self._elsewhere_spent = max(0, shared.spent_by_all - claim.spent)
        self._elsewhere_booked = max(0, shared.booked_by_all - claim.booked - shared.granted)
