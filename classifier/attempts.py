"""Runs a plan: attempts on its paths, one after another, under one deadline.

        ┌─ refused by its guard, error, timeout ─▶ retry, fallback …
path ───┤
        └─ unsure, abstained, no label ─▶ escalate …       the last label wins
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from time import perf_counter

from msgspec import Struct

from classifier.config.schema import Escalate
from classifier.guards import judging
from classifier.hedging import Race
from classifier.paths.path import Path
from classifier.records import REPLIED, Attempt, Reason
from classifier.routing import Plan

Book = Callable[[Attempt], None]
# Below this an attempt cannot finish: it is not started.
MIN_ATTEMPT_S = 0.005
# Nothing came of these, and the same path may do better on a new connection.
_BROKEN = ("connect", "reset")
# These may pass too, but another path that is left is the better bet.
_SICK = (*_BROKEN, "server_error", "garbage")
# Full jitter (AWS' name for it): callers that failed together do not come back together.
_BACKOFF_S = (0.025, 0.2)


class Skipped(Struct, frozen=True):
    """A path that was not asked: why, and for how long it will at least not be."""

    path: str
    why: str
    for_s: float


class Run(Struct, frozen=True):
    """What became of a plan: all attempts in order, and the one whose label counts.

    `out_of_time`: the deadline ended the walk, whether it cut an attempt short or kept one from
    starting; with more time the plan might have given another answer. `settled`: no path that
    should have looked at an unsure answer failed to; only then is the answer worth remembering.
    `model_s`: the time given to models, pauses that they asked for included.
    """

    attempts: tuple[Attempt, ...]
    decisive: Attempt | None
    out_of_time: bool
    settled: bool = True
    skipped: tuple[Skipped, ...] = ()
    model_s: float = 0.0

    @property
    def escalated_from(self) -> str | None:
        """The path asked first, when the label comes from one that was asked for being unsure."""
        if self.decisive is None:
            return None
        path = self.decisive.path  # its other attempts are retries, and hedges that lost
        asked = any(a.path == path and a.reason == "escalation" for a in self.attempts)
        return self.attempts[0].path if asked else None


NO_RUN = Run((), None, out_of_time=False)


class Runner:
    """Runs plans. `now` is the clock of all deadlines; `chance` is uniform in [0, 1).

    `book` is told about every attempt when it ends, so that nothing paid for is lost when the
    caller goes away.
    """

    def __init__(
        self,
        book: Book,
        now: Callable[[], float] = perf_counter,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.book = book
        self.now = now
        self.chance = chance
        self._losers: set[asyncio.Task[Attempt]] = set()

    def lose(self, call: asyncio.Task[Attempt]) -> None:
        """A call that was hung up on: held until it has let go of its connection."""
        self._losers.add(call)
        call.add_done_callback(self._losers.discard)

    async def aclose(self) -> None:
        await asyncio.gather(*self._losers, return_exceptions=True)

    async def run(self, plan: Plan, paths: Mapping[str, Path], text: str, deadline: float) -> Run:
        """Asks the plan's paths until one gives a sure label or none is left."""
        walk = _Walk(self, plan, paths, text, deadline)
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
        self, runner: Runner, plan: Plan, paths: Mapping[str, Path], text: str, deadline: float
    ) -> None:
        self._runner = runner
        self._plan = plan
        self._paths = paths
        self._text = text
        self._deadline = deadline
        self._attempts: list[Attempt] = []
        self._decisive: Attempt | None = None  # the last label that counted
        self._skipped: list[Skipped] = []
        self._tried: set[str] = set()
        self._too_late = False
        self._model_s = 0.0

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
        if self._decisive is None:
            return await self.ask_with_fallback(path, "escalation")
        return await self._ask(path, "escalation")

    def is_sure(self, step: Escalate) -> bool:
        last = self._decisive
        if last is None or last.outcome == "abstained":
            return False
        return last.confidence is None or last.confidence >= step.below

    def result(self, *, settled: bool) -> Run:
        return Run(
            tuple(self._attempts),
            self._decisive,
            self._too_late or self._left_s() < MIN_ATTEMPT_S,
            settled,
            tuple(self._skipped),
            self._model_s,
        )

    def _left_s(self) -> float:
        return self._deadline - self._runner.now()

    async def _ask(self, name: str, reason: Reason) -> bool:
        """One path with its retries; true when a model replied, whatever it said."""
        if name in self._tried:
            return False
        self._tried.add(name)
        path = self._paths[name]
        attempt = await self._attempt(path, reason)
        for _ in range(path.config.retries):
            pause_s = None if attempt is None else self._pause_s(path, attempt)
            if pause_s is None or not path.guard.retry(in_time=self._fits(path, pause_s)):
                break
            self._model_s += pause_s
            await asyncio.sleep(pause_s)
            attempt = await self._attempt(path, "retry")
        return attempt is not None and attempt.outcome in REPLIED

    async def _attempt(self, path: Path, reason: Reason) -> Attempt | None:
        """One call, unless its guard refuses it or too little time is left for it."""
        refused = path.guard.refuses()
        if refused is not None:
            path.guard.skipped(refused)
            self._skipped.append(Skipped(path.name, refused, path.guard.breaker.refuses_for_s))
            return None
        if not self._fits(path, 0.0):
            path.guard.skipped("deadline")
            self._too_late = True
            return None
        timeout_s = min(path.config.timeout_s, self._left_s())
        second = None if reason == "retry" else self._second(path)
        delay_s = path.guard.hedge_delay_s
        if second is None or delay_s is None or delay_s >= timeout_s:
            attempt = await path.ask(self._text, timeout_s, reason)
            self._keep(attempt.duration_s, attempt, attempt)
            return attempt
        started = self._runner.now()
        race = Race(path, second, self._text, self._left_s, self._runner.lose)
        raced = await race.run(timeout_s, delay_s, reason)
        self._keep(self._runner.now() - started, raced.counts, *raced.attempts)
        if raced.counts.outcome in REPLIED:
            self._tried.add(raced.counts.path)
        return raced.counts

    def _second(self, path: Path) -> Path | None:
        """The path of a second call; None: there is to be none.

        A breaker that is not closed finds out by one call, made in this very step.
        """
        hedge = path.config.hedge
        if hedge is None or path.guard.breaker.state != "closed":
            return None
        name = hedge.to or path.name
        return self._paths[name] if self._plan.may_hedge(name) else None

    def _keep(self, model_s: float, counts: Attempt, *attempts: Attempt) -> None:
        self._model_s += model_s
        if counts.label is not None:
            self._decisive = counts
        self._attempts.extend(attempts)
        for attempt in attempts:
            self._runner.book(attempt)

    def _fits(self, path: Path, pause_s: float) -> bool:
        """Whether a call that starts after a pause could still end."""
        return self._left_s() - pause_s >= max(MIN_ATTEMPT_S, path.guard.floor_s)

    def _pause_s(self, path: Path, failed: Attempt) -> float | None:
        """How long to wait before the same path is asked again; None: it is not."""
        low_s, high_s = _BACKOFF_S
        jitter_s = low_s + self._runner.chance() * (high_s - low_s)
        alone = not self._has_another()
        if failed.outcome in (_SICK if alone else _BROKEN) and not judging.pause_s(failed):
            return jitter_s
        asked_s = path.guard.asks_to_wait_s(failed)
        if asked_s is None or not (alone or asked_s <= path.config.retry.max_wait_s):
            return None
        return asked_s + jitter_s

    def _has_another(self) -> bool:
        """A label that would do, or a path that could be asked now."""
        return self._decisive is not None or any(
            name not in self._tried and self._paths[name].guard.refuses() is None
            for name in (*self._plan.fallback, *(step.to for step in self._plan.escalate))
        )
