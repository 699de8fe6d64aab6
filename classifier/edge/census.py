"""Who is connected: how many at most, who goes first when it is too many, and the end of all."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

from classifier.config.edge import Connections
from classifier.edge.turnstile import Turnstile

CutReason = Literal[
    "silent",  # connected and sent nothing
    "slow_head",  # a request's headers did not arrive in time
    "slow_body",  # nor its body
    "slow_reader",  # does not read its answer
    "idle",  # kept alive after an answer, and nothing came
    "crowded",  # had waited the longest when a newer one needed the place
    "refused",  # no place, and nobody who only waits
    "head_too_large",
    "malformed",
]
REASONS: tuple[CutReason, ...] = get_args(CutReason)
# A connection that has been answered is worth keeping; one that owes us a request is not: it counts
# as waiting this many times longer.
IDLE_PATIENCE = 15.0
IDLE_GRACE_S = 2.0  # and until then it comes last: its client is between two requests
ARRIVAL_GRACE_S = (
    0.5  # likewise while its next request arrives: head and body are often two packets
)


class Watcher(Protocol):
    """Hears of connections. Returns at once and never raises."""

    def connected(self, now_open: int, most: int) -> None: ...

    def cut(self, reason: CutReason) -> None: ...

    def draining(self, *, draining: bool) -> None: ...


class Member(Protocol):
    """One connection, as the census sees it."""

    def waiting_s(self) -> float | None:
        """How long it has held a place without a request, weighted; None: a request is under way."""

    def give_way(self) -> None:
        """Closes itself for somebody else."""

    def last_answer(self) -> None:
        """Says `Connection: close` with the answer that comes next."""


class Census:
    """Promise: never more than `most` members; whoever is being answered is never thrown out."""

    def __init__(
        self, limits: Connections, watcher: Watcher, turnstile: Turnstile | None = None
    ) -> None:
        self.limits = limits
        self.turnstile = turnstile
        self.draining = False
        self._watcher = watcher
        self._members: set[Member] = set()
        self._lingering = 0

    def __len__(self) -> int:
        return len(self._members)

    def admit(self, newcomer: Member) -> bool:
        """False when every place is taken by somebody who is being answered."""
        if len(self._members) >= self.limits.most and not self._make_room():
            self.cut("refused")
            return False
        self._members.add(newcomer)
        self._watcher.connected(len(self._members), self.limits.most)
        return True

    def may_linger(self) -> bool:
        """Whether a refused client may be listened to for a moment: as many as there are members."""
        if self._lingering >= self.limits.most:
            return False
        self._lingering += 1
        return True

    def leave(self, member: Member, *, lingers: bool = False) -> None:
        self._lingering -= lingers
        self._members.discard(member)
        self._watcher.connected(len(self._members), self.limits.most)

    def cut(self, reason: CutReason) -> None:
        self._watcher.cut(reason)

    def drain(self) -> None:
        """From now on every answer is its connection's last; new connections are still served."""
        self.draining = True
        self._watcher.draining(draining=True)
        for member in self._members:
            member.last_answer()

    def _make_room(self) -> bool:
        """One pass over at most `most` members: 20 µs at 200 (2026-11)."""
        waiting = [(member.waiting_s(), member) for member in self._members]
        candidates = [(waited, member) for waited, member in waiting if waited is not None]
        if not candidates:
            return False
        _, longest = max(candidates, key=lambda each: each[0])
        self._members.discard(longest)
        longest.give_way()
        return True
