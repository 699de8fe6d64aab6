"""The hallway: one walk per ticket, always in the same order.

route ─▶ memory ─▶ coalesce ─▶ Redis ─▶ attempts ─▶ price ─▶ Classification
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from secrets import token_hex

from msgspec import Struct, structs

from classifier import pricing
from classifier.admission.admission import Admission
from classifier.admission.gate import Shed
from classifier.assembly import Assembly
from classifier.attempts import NO_RUN, Run, Runner
from classifier.budget.daily import DailyBudget
from classifier.budget.degrading import goes_as_far
from classifier.cache.coalescing import Coalescing
from classifier.cache.key import cache_key, text_digest
from classifier.closing import checked, out_of_time, used
from classifier.errors import (
    BudgetSpent,
    CallerError,
    Overloaded,
    ServiceError,
)
from classifier.ports import AnswerCache, Keeper, Observer
from classifier.records import (
    NO_COST,
    NO_USAGE,
    Answer,
    Classification,
    Door,
    Source,
    Stages,
    Ticket,
)
from classifier.routing import Plan

_SHADOWS_AT_ONCE = 64


class Wish(Struct, frozen=True):
    """What a door asks for beside the ticket itself.

    `arrived`: when the request came in, a moment of the pipeline's clock, where it had to wait
    since; the time budget runs from then on. `queue_s`: how long it may wait for its turn before
    that.
    """

    door: Door
    timeout_s: float
    forced_path: str | None = None
    use_cache: bool = True
    arrived: float | None = None
    queue_s: float = 0.0
    account: str = ""  # the helpdesk's, for the ledger


class _Case(Struct, frozen=True):
    """One ticket on its walk: fixed once the route is chosen."""

    id: str
    plan: Plan
    assembly: Assembly
    text: str
    key: str
    deadline: float
    wish: Wish
    turn: str  # identical tickets take one turn together: the key, where there is a cache

    @property
    def turn_until(self) -> float:
        """To this moment it may wait for a slot."""
        return self.deadline - (self.wish.timeout_s if self.wish.queue_s else 0.0)

    def patience_s(self, now: float) -> float:
        """For another process's answer: half of what its call may take, and of our own time left.

        So there is time for our own call when it does not come.
        """
        if not self.assembly.config.cache.across_replicas:
            return 0.0
        timeout_s = self.assembly.paths[self.plan.path].config.timeout_s
        return max(0.0, min(timeout_s, self.deadline - now) / 2)


class _Found(Struct, frozen=True):
    """What identical tickets share: an answer that was remembered, or what a run came to."""

    run: Run
    answer: Answer | None
    source: Source
    cache_s: float = 0.0
    queued_s: float = 0.0
    kept_back: bool = False

    @property
    def is_unpaid(self) -> bool:
        """Nobody was asked, because nobody could be paid."""
        asked = {attempt.outcome for attempt in self.run.attempts} - {"budget"}
        nobody = self.run.attempts and not asked and not self.run.skipped
        return self.kept_back or (self.answer is None and bool(nobody))

    def is_final(self, *, leads: bool) -> bool:
        """A leader with less time than we have must not spend ours."""
        return leads or not self.run.out_of_time or (self.answer is not None and self.run.settled)


class Pipeline:
    """Classifies tickets. `assembly` is replaced whole when the config changes."""

    def __init__(
        self,
        assembly: Assembly,
        cache: AnswerCache | None,
        secret: bytes,
        observer: Observer,
        admission: Admission,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.assembly = assembly
        self.admission = admission
        self._now = admission.now
        self._runner = Runner(observer.attempted, admission.now, chance)
        self._cache = cache
        self._secret = secret
        self._observer = observer
        self.budget = DailyBudget()  # without a cap, until the house has one
        self._coalescing: Coalescing[_Found] = Coalescing(admission.abandon)
        self._beside: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.ending = asyncio.Event()  # the process ends: batches say how far they came
        self.ledger: Keeper | None = None

    def check(self, door: Door) -> None:
        """Before a door does any work for a ticket. Raises Overloaded when too many are here."""
        try:
            self.admission.check(door, self.in_flight)
        except Overloaded as error:
            self._observer.failed(door, error.slug, 0.0)
            raise

    def turned_away(self, reason: Shed, waited_s: float) -> Overloaded:
        """A single ticket that is refused unread, `waited_s` after it came."""
        error = self.admission.refusal("classify", reason)
        self._observer.failed("classify", error.slug, waited_s)
        return error

    async def classify(self, ticket: Ticket, wish: Wish) -> Classification:
        """Raises NotFound (forced path), Overloaded, NoPathAnswered, NoLabel or OutOfTime.

        It never makes up a label.
        """
        started = self._now() if wish.arrived is None else wish.arrived
        self.in_flight += 1
        try:
            case = self._open(ticket, wish, started)
            classification = await self._walk(case, wish, started)
        except ServiceError as error:
            self._observer.failed(wish.door, error.slug, self._now() - started)
            raise
        except CallerError:
            raise  # not a ticket that we failed
        except Exception:
            self._observer.failed(wish.door, "internal", self._now() - started)
            raise
        finally:
            self.in_flight -= 1
        self._observer.classified(classification, wish.door)
        if self.ledger is not None:
            self.ledger.classified(ticket, classification, wish.account)
        return classification

    async def aclose(self) -> None:
        """Finishes what is under way: shared runs, shadows, cache writes."""
        await self._coalescing.drain()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self._runner.aclose()
        await self.budget.aclose()
        if self._cache is not None:
            await self._cache.aclose()

    def _open(self, ticket: Ticket, wish: Wish, started: float) -> _Case:
        assembly = self.assembly
        text = ticket.text
        digest = text_digest(text, self._secret)
        plan = assembly.plan(ticket, ticket.id or text, wish.forced_path)
        key = cache_key(digest, assembly.plan_fingerprint(plan))
        deadline = started + wish.queue_s + wish.timeout_s
        turn = key if wish.use_cache and self._cache is not None else token_hex(16)
        id_ = ticket.id or token_hex(8)
        return _Case(id_, plan, assembly, text, key, deadline, wish, turn)

    async def _walk(self, case: _Case, wish: Wish, started: float) -> Classification:
        cache = self._cache if wish.use_cache else None
        known = None if cache is None else case.assembly.vetted(cache.look_up(case.key))
        if known is not None:
            return _free(case, known, "cache", Stages(self._now() - started))
        waited = self._now()
        if waited >= case.deadline:
            raise out_of_time()
        found, leads = await self._shared_run(case, cache)
        if found.is_unpaid:
            raise self._budget_spent(found.run)
        waited_s, total_s = self._now() - waited, self._now() - started
        if found.source == "cache" and found.answer is not None:
            return _free(case, found.answer, "cache", Stages(total_s, 0.0, waited_s))
        if found.source == "coalesced" or not leads:
            stages = Stages(total_s, waited_s)
            return _free(case, checked(found.answer, found.run), "coalesced", stages)
        # Waiting for a slot is waiting for the model, as it is for those who wait for our run.
        stages = Stages(total_s, found.queued_s + found.run.model_s, found.cache_s)
        return _classification(case, found.run, checked(found.answer, found.run), stages)

    async def _shared_run(self, case: _Case, cache: AnswerCache | None) -> tuple[_Found, bool]:
        """Runs the plan, or waits for an identical ticket's run; never beyond the own deadline.

        Without a cache nothing is shared, but the run still outlives a caller that goes away.
        """
        self.admission.hurry(case.turn, case.wish.door)
        while True:
            try:
                async with asyncio.timeout(case.deadline - self._now()):
                    found, leads = await self._coalescing.run(
                        case.turn, lambda: self._find(case, cache)
                    )
            except Overloaded:
                if self._now() >= case.deadline - case.wish.timeout_s:
                    raise
                continue  # a leader with less patience was refused, not we
            except TimeoutError as error:
                raise out_of_time() from error
            if found.is_final(leads=leads):
                return found, leads

    async def _find(self, case: _Case, cache: AnswerCache | None) -> _Found:
        """Asks the tier behind memory, which also knows whether another process is asking a model."""
        if cache is None:
            return await self._run(case, None)
        looked_up = self._now()
        # Who will be refused looks an answer up, but promises none to other processes.
        hopeless = self.admission.would_refuse(case.wish.door)
        found = await cache.claim(case.key, 0.0 if hopeless else case.patience_s(looked_up))
        cache_s = self._now() - looked_up
        answer = case.assembly.vetted(found.answer)
        if answer is not None:
            return _Found(NO_RUN, answer, "coalesced" if found.lent else "cache", cache_s)
        try:
            return structs.replace(await self._run(case, cache), cache_s=cache_s)
        finally:
            cache.release(case.key)

    async def _run(self, case: _Case, cache: AnswerCache | None) -> _Found:
        assembly = case.assembly
        step = self.budget.step
        if step == "cache_only":
            return _Found(NO_RUN, None, "model", kept_back=True)
        plan = assembly.cheapest(case.plan) if step == "cheapest" else case.plan
        async with self.admission.slot(case.turn, case.wish.door, case.turn_until) as slot:
            deadline = min(case.deadline, self._now() + case.wish.timeout_s)
            run = await self._runner.run(plan, assembly.paths, case.text, deadline)
            slot.ran(run.attempts)
        if run.decisive is not None and not goes_as_far(plan, case.plan, run.decisive):
            run = structs.replace(run, settled=False)
        if run.decisive is None:
            return _Found(run, None, "model", queued_s=slot.queued_s)
        answer = assembly.answer(run.decisive, run.escalated_from)
        if cache is not None and run.settled and answer.ttl_s > 0:
            cache.put(case.key, answer)
        shadow = case.plan.shadow
        if (
            step is None
            and shadow is not None
            and shadow not in [attempt.path for attempt in run.attempts]
        ):
            self._start_shadow(case, shadow, answer)
        return _Found(run, answer, "model", queued_s=slot.queued_s)

    def _budget_spent(self, run: Run) -> BudgetSpent:
        return BudgetSpent(
            "the day's budget for models is spent, and no cache knows this ticket",
            retry_after_s=self.budget.retry_after_s({attempt.path for attempt in run.attempts}),
        )

    def _start_shadow(self, case: _Case, name: str, answer: Answer) -> None:
        """Off the answer's critical path, bounded, and not lost: `aclose` waits for it."""
        if len(self._beside) >= _SHADOWS_AT_ONCE or self.admission.is_pressed:
            self._observer.shadowed(name, "dropped")
            return
        task = asyncio.create_task(self._shadow(case, name, answer))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _shadow(self, case: _Case, name: str, answer: Answer) -> None:
        path = case.assembly.paths[name]
        if path.guard.refuses() is not None:
            self._observer.shadowed(name, "dropped")
            return
        attempt = await path.ask(case.text, path.config.timeout_s, "shadow")
        self._observer.attempted(attempt)
        if attempt.label is None:
            self._observer.shadowed(name, "no_label")
        else:
            self._observer.shadowed(name, "agree" if attempt.label == answer.label else "disagree")


def _free(case: _Case, answer: Answer, source: Source, stages: Stages) -> Classification:
    """An answer that somebody else has paid for."""
    return Classification(case.id, answer, source, NO_USAGE, NO_COST, stages, case.plan.route)


def _classification(case: _Case, run: Run, answer: Answer, stages: Stages) -> Classification:
    return Classification(
        case.id,
        answer,
        "model",
        used(run),
        pricing.add([a.cost for a in run.attempts]),
        stages,
        case.plan.route,
        run.attempts,
    )
