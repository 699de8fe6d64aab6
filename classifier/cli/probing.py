"""Asks paths for `verify`: within a budget, a few calls side by side, patient with rate limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from classifier.cli.findings import Seen, Trial
from classifier.errors import ConfigError
from classifier.injections import Injection
from classifier.money import usd
from classifier.paths.path import Path
from classifier.pricing import cost
from classifier.records import REPLIED, Attempt, Ticket, Usage
from classifier.tokens import tokenizer

T = TypeVar("T")
ONE_TOKEN = Ticket(body="Hello")
_TRIES = 4
_PAUSE_S = 1.0
_MAX_PAUSE_S = 20.0
_WAIT_AND_ASK_AGAIN = ("rate_limited", "loading")


class Questions:
    """What is asked of every path: a ticket of one token, honest tickets, and those with orders."""

    def __init__(self, cases: Sequence[Injection], honest: Sequence[Ticket]) -> None:
        self.cases = cases
        own = [case.honest() for case in cases]
        self.honest = list({ticket.text: ticket for ticket in [*own, *honest]}.values())

    @property
    def calls(self) -> int:
        return 1 + len(self.honest) + len(self.cases)

    def texts(self, names: Sequence[str]) -> list[str]:
        """All texts, with wishes as if no honest answer were known: to count what they cost."""
        hostile = (case.hostile(case.wish(names, None)) for case in self.cases)
        return [ticket.text for ticket in (ONE_TOKEN, *self.honest, *hostile)]


def estimate_nanodollars(path: Path, texts: Iterable[str]) -> int | None:
    """What asking all texts costs at most by the price table; None without a price."""
    if path.rate is None:
        return None
    count = tokenizer() or _at_most_tokens
    static = path.static_tokens
    if static is None:
        static = _at_most_tokens(path.prompt.static)
    output = path.config.options.max_output_tokens or 1_000
    usages = (Usage(static + count(text), output, 0, 0) for text in texts)
    return sum(cost(usage, path.rate).nanodollars or 0 for usage in usages)


def _at_most_tokens(text: str) -> int:
    """Without a tokenizer: no vocabulary in use needs more than a token a byte."""
    return len(text.encode())


class Prober:
    """Asks, adds up what it cost, and stops when that is more than allowed."""

    def __init__(
        self, max_nanodollars: int, concurrency: int, names: Sequence[str], done: Callable[[], None]
    ) -> None:
        self._max_nanodollars = max_nanodollars
        self._turns = asyncio.Semaphore(concurrency)
        self._names = names
        self._done = done
        self._spent_nanodollars = 0

    async def probe(self, path: Path, questions: Questions) -> Seen:
        """Asks in three steps; the next one only when the path answered the one before.

        Raises ConfigError when the calls cost more than they may.
        """
        if not await path.reachable():
            return Seen(reachable=False)
        first = await self._ask(path, ONE_TOKEN)
        if first.outcome not in REPLIED:
            return Seen(reachable=True, first=first)
        honest = await _all(self._ask(path, ticket) for ticket in questions.honest)
        labels = {
            ticket.text: attempt.label
            for ticket, attempt in zip(questions.honest, honest, strict=True)
        }
        trials = await _all(
            self._try(path, case, labels[case.honest().text]) for case in questions.cases
        )
        return Seen(reachable=True, first=first, honest=tuple(honest), trials=tuple(trials))

    async def _try(self, path: Path, case: Injection, honest: str | None) -> Trial:
        wished = case.wish(self._names, honest)
        return Trial(case, wished, honest, await self._ask(path, case.hostile(wished)))

    async def _ask(self, path: Path, ticket: Ticket) -> Attempt:
        async with self._turns:
            for _ in range(_TRIES - 1):
                attempt = await self._paid(path, ticket)
                if attempt.outcome not in _WAIT_AND_ASK_AGAIN:
                    break
                await asyncio.sleep(min(attempt.retry_after_s or _PAUSE_S, _MAX_PAUSE_S))
            else:
                attempt = await self._paid(path, ticket)
        self._done()
        return attempt

    async def _paid(self, path: Path, ticket: Ticket) -> Attempt:
        if self._spent_nanodollars > self._max_nanodollars:
            raise ConfigError(
                f"stopped: the calls have cost ${usd(self._spent_nanodollars)}, more than "
                f"--max-cost-usd {usd(self._max_nanodollars)}"
            )
        attempt = await path.ask(ticket.text, path.config.timeout_s, "answer")
        self._spent_nanodollars += attempt.cost.nanodollars or 0
        return attempt


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it, in order; when one call raises, the others are not left behind."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except* ConfigError as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
