"""Runs a plan: attempts on its paths, one after another, under one deadline.

        ┌─ error, timeout ─▶ fallback …
path ───┤
        └─ unsure, abstained, no label ─▶ escalate …       the last label wins
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from msgspec import Struct

from classifier.config.schema import Escalate
from classifier.paths.path import Path
from classifier.records import REPLIED, Attempt, Reason
from classifier.routing import Plan

Book = Callable[[Attempt], None]
# Below this an attempt cannot finish: it is not started.
MIN_ATTEMPT_S = 0.005
# Nothing came of these, and the same path may do better on a new connection.
_RETRIED = ("connect", "reset")


class Run(Struct, frozen=True):
    """What became of a plan: all attempts in order, and the one whose label counts.

    `out_of_time`: the deadline ended the walk, whether it cut an attempt short or kept one from
    starting; with more time the plan might have given another answer. `settled`: no path that
    should have looked at an unsure answer failed to; only then is the answer worth remembering.
    """

    attempts: tuple[Attempt, ...]
    decisive: Attempt | None
    out_of_time: bool
    settled: bool = True

    @property
    def model_s(self) -> float:
        return sum(attempt.duration_s for attempt in self.attempts)

    @property
    def escalated_from(self) -> str | None:
        """The path asked first, when the label comes from one that was asked for being unsure."""
        names = [attempt.path for attempt in self.attempts]
        if self.decisive is None:
            return None
        first = self.attempts[names.index(self.decisive.path)]  # later ones are its retries
        return names[0] if first.reason == "escalation" else None


NO_RUN = Run((), None, out_of_time=False)


async def run(plan: Plan, paths: Mapping[str, Path], text: str, deadline: float, book: Book) -> Run:
    """Asks the plan's paths until one gives a sure label or none is left.

    `deadline` is a moment of `perf_counter`. `book` is told about every attempt when it ends, so
    that nothing paid for is lost when the caller goes away.
    """
    walk = _Walk(plan, paths, text, deadline, book)
    await walk.ask_with_fallback(plan.path, "answer")
    settled = True
    for step in plan.escalate:
        if walk.is_sure(step):
            break
        settled = await walk.escalate(step.to)
    return walk.result(settled=settled)


class _Walk:
    """One ticket's way through its plan."""

    def __init__(
        self, plan: Plan, paths: Mapping[str, Path], text: str, deadline: float, book: Book
    ) -> None:
        self._plan = plan
        self._paths = paths
        self._text = text
        self._deadline = deadline
        self._book = book
        self._attempts: list[Attempt] = []
        self._tried: set[str] = set()

    async def ask_with_fallback(self, path: str, reason: Reason) -> bool:
        replied = await self._ask(path, reason)
        for other in self._plan.fallback:
            if replied:
                break
            replied = await self._ask(other, "fallback")
        return replied

    async def escalate(self, path: str) -> bool:
        """A failed escalation keeps the label there is; without one the fallbacks are asked.

        True when a model replied, now or, where the path had its turn already, before.
        """
        if path in self._tried:
            return any(a.path == path and a.outcome in REPLIED for a in self._attempts)
        if self._decisive() is None:
            return await self.ask_with_fallback(path, "escalation")
        return await self._ask(path, "escalation")

    def is_sure(self, step: Escalate) -> bool:
        last = self._decisive()
        if last is None or last.outcome == "abstained":
            return False
        return last.confidence is None or last.confidence >= step.below

    def result(self, *, settled: bool) -> Run:
        return Run(tuple(self._attempts), self._decisive(), self._left_s() < MIN_ATTEMPT_S, settled)

    def _decisive(self) -> Attempt | None:
        return next((a for a in reversed(self._attempts) if a.label is not None), None)

    def _left_s(self) -> float:
        return self._deadline - perf_counter()

    async def _ask(self, name: str, reason: Reason) -> bool:
        """One path with its retries; true when a model replied, whatever it said."""
        if name in self._tried:
            return False
        self._tried.add(name)
        path = self._paths[name]
        for retry in range(path.config.retries + 1):
            left_s = self._left_s()
            if left_s < MIN_ATTEMPT_S:
                return False
            timeout_s = min(path.config.timeout_s, left_s)
            attempt = await path.ask(self._text, timeout_s, "retry" if retry else reason)
            self._attempts.append(attempt)
            self._book(attempt)
            if attempt.outcome not in _RETRIED:
                break
        return attempt.outcome in REPLIED
