"""Days of 50,000 tickets in virtual time: the real pipeline, attempts and guards under two vendors.

A day is a function of its seed: the same seed gives the same tickets, the same weather, the same
order of everything, and the same digest.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from math import pi, sin
from pathlib import Path
from random import Random
from typing import NamedTuple

from classifier.admission.admission import Admission
from classifier.assembly import Assembly
from classifier.cache.memory import MemoryCache
from classifier.config.load import load
from classifier.config.schema import Endpoint as EndpointConfig
from classifier.errors import ServiceError
from classifier.guards.registry import Guards
from classifier.pipeline import Pipeline, Wish
from classifier.records import Ticket
from tests.soak.tally import Tally
from tests.soak.vendor import LABELS, Vendor, label_of
from tests.soak.weather import DAY_S, HOPELESS, Episode, Sky, day
from tests.support.house import edited, write_config
from tests.support.parts import Gatekeeper
from tests.support.virtual_time import clock, run

TICKETS_PER_DAY = 50_000
_RECOVERS_WITHIN_S = 10.0
_HOPELESS_S = 60.0
_EPSILON_S = 1e-3
_UNLUCKY = 5e-4  # one call in a hundred fails on every day, on both paths, and again when repeated
_BUDGETS_S = (0.3, 1.5, 3.0, 8.0)
_RATES = {"fast": (300, 1_200), "slow": (150, 600)}  # nano-dollars per token of the test's prices
_MEDIANS_S = {"fast": 0.1, "slow": 0.4}
# Timeouts of about four times the medians; a reply that takes three quarters of one counts as bad.
_TIMEOUTS_S = {"short": 0.5, "long": 1.6}
_SLOW_S = {path: 0.75 * timeout_s for path, timeout_s in _TIMEOUTS_S.items()}
_ROUTE = """
[paths.short.hedge]

[[routes]]
name = "default"
path = "short"
escalate = { to = "long", below = 0.6 }
fallback = ["long"]
shadow = { path = "long", share = 0.02 }
"""


class Day(NamedTuple):
    """How a day went: counts, a digest of everything that happened, and what must not have."""

    seed: str
    tickets: int
    outcomes: Counter[str]
    attempts: Counter[tuple[str, str]]
    episodes: int
    opened: int
    digest: str
    errors: tuple[str, ...]


def config_for_days(folder: Path) -> Path:
    """Two paths, one of them hedged; every guard as it is shipped."""
    config = write_config(folder, "http://short.invalid/v1", "http://long.invalid/v1", _ROUTE)
    edited(config, "timeout_s = 1.0", f"timeout_s = {_TIMEOUTS_S['short']}", times=1)
    return edited(config, "timeout_s = 1.0", f"timeout_s = {_TIMEOUTS_S['long']}", times=1)


class Terms(NamedTuple):
    """`roughness`: how many times as many episodes as on a day of the year. `vendor`: who sells."""

    hours: float = 24.0
    roughness: float = 1.0
    vendor: type[Vendor] = Vendor


def lived(config: Path, seed: str, terms: Terms = Terms()) -> Day:  # noqa: B008 -- frozen
    """One day, or its first hours, from first ticket to last task."""
    return run(_Life(config, seed, terms).live(), seed=Random(seed).getrandbits(32))


class _Life:
    """One day: who sends what when, and what is held against the service."""

    def __init__(self, config: Path, seed: str, terms: Terms) -> None:
        self._config = config
        self._terms = terms
        self._seed = seed
        self._length_s = terms.hours / 24 * DAY_S
        self._random = Random(f"{seed}:tickets")
        self._errors: list[str] = []
        self._outcomes: Counter[str] = Counter()
        self._digest = hashlib.blake2b(digest_size=8)
        self._running: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._unexplained = 0

    async def live(self) -> Day:
        now = clock()
        self._now = now
        self._vendors: dict[str, Vendor] = {}
        self._skies = dict(
            zip(_RATES, day(self._seed, self._length_s, self._terms.roughness), strict=True)
        )
        self._tally = Tally(now, self._is_fair, _SLOW_S)
        self._pipeline = self._built(now)
        watchers = [
            asyncio.create_task(self._watch(path, vendor))
            for path, vendor in (("short", "fast"), ("long", "slow"))
        ]
        tickets = await self._send_all()
        await asyncio.gather(*self._running)
        await self._pipeline.aclose()
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        self._close(tickets)
        episodes = sum(len(sky) for sky in self._skies.values())
        return Day(
            self._seed, tickets, self._outcomes, self._tally.calls, episodes,
            self._tally.opened, self._digest.hexdigest(), tuple(self._errors),
        )  # fmt: skip

    def _built(self, now: Callable[[], float]) -> Pipeline:
        chance = Random(f"{self._seed}:chance").random
        guards = Guards(self._tally, now, chance)
        assembly = Assembly(load(self._config, {}), self._open, guards.guard, now=now)
        cache = MemoryCache(1_000, now)
        self._admission = Admission(assembly.config.overload, Gatekeeper(), now)
        secret = b"sixteen bytes and"
        return Pipeline(assembly, cache, secret, self._tally, self._admission, chance)

    def _open(self, name: str, _config: EndpointConfig) -> Vendor:
        random = Random(f"{self._seed}:{name}")
        sky = Sky(self._skies[name], _MEDIANS_S[name], random)
        self._vendors[name] = self._terms.vendor(sky, _RATES[name], random, self._now)
        return self._vendors[name]

    # -- tickets ---------------------------------------------------------------------------

    async def _send_all(self) -> int:
        """Poisson arrivals that swing by 80 % over the day; returns how many there were."""
        number = 0
        for at_s in self._arrivals():
            await asyncio.sleep(at_s - self._now())
            number += 1
            # one in twenty repeats what was asked a moment ago: cached, or still under way
            about = max(1, number - self._random.randint(1, 5)) if self._hits(0.05) else number
            self._start(number, about)
        return number

    def _arrivals(self) -> Iterator[float]:
        mean_per_s = TICKETS_PER_DAY / DAY_S
        most_per_s = 1.8 * mean_per_s
        at_s = self._random.expovariate(most_per_s)
        while at_s < self._length_s:
            rate = mean_per_s * (1 + 0.8 * sin(2 * pi * at_s / DAY_S))
            if self._random.random() < rate / most_per_s:
                yield at_s
            at_s += self._random.expovariate(most_per_s)

    def _start(self, number: int, about: int) -> None:
        budget_s = self._random.choice(_BUDGETS_S)
        task = asyncio.create_task(self._ticket(number, about, budget_s))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if self._hits(0.02):  # this one hangs up
            asyncio.get_running_loop().call_later(self._random.uniform(0.0, 1.0), task.cancel)

    async def _ticket(self, number: int, about: int, budget_s: float) -> None:
        ticket = Ticket(f"please look at #{about}#", id=f"t{number}")
        began = self._now()
        self._under_way += 1
        self._tally.most_under_way = max(self._tally.most_under_way, self._under_way)
        try:
            outcome = await self._outcome(ticket, about, budget_s)
        finally:
            self._under_way -= 1
        took_s = self._now() - began
        if took_s > budget_s + _EPSILON_S:
            self._errors.append(f"{ticket.id}: {took_s - budget_s:.3f} s over its {budget_s} s")
        self._outcomes[outcome] += 1
        self._digest.update(f"{number} {outcome} {took_s:.6f}\n".encode())

    async def _outcome(self, ticket: Ticket, about: int, budget_s: float) -> str:
        """What became of it, in words; a wrong answer is an error."""
        try:
            found = await self._pipeline.classify(ticket, Wish("classify", budget_s))
        except asyncio.CancelledError:
            return "hung up"
        except ServiceError as error:
            if error.slug != "out-of-time" and self._is_fair("short") and self._is_fair("long"):
                self._unexplained += 1
            return error.slug
        label = found.answer.label
        if found.id != ticket.id or label != label_of(about) or label not in LABELS:
            self._errors.append(f"{ticket.id}: {found.id} {label} for #{about}#")
        return f"{found.source} {found.answer.path}"

    def _hits(self, share: float) -> bool:
        return self._random.random() < share

    # -- what is held against the service ------------------------------------------------------

    def _is_fair(self, path: str) -> bool:
        """Whether nothing has been wrong with a path's vendor for a while."""
        now = self._now()
        return not any(
            one.begin_s <= now <= one.end_s + _RECOVERS_WITHIN_S + _lingers_s(one)
            for one in self._skies["fast" if path == "short" else "slow"]
        )

    async def _watch(self, path: str, vendor: str) -> None:
        """Ten seconds after an episode's end, or a bad call since, the path may be asked again."""
        sky = self._skies[vendor]
        guard = self._pipeline.assembly.paths[path].guard
        for one, following in zip(sky, [*sky[1:], None], strict=True):
            begins_s = self._length_s if following is None else following.begin_s
            looks_s = one.end_s + _RECOVERS_WITHIN_S + _lingers_s(one)
            while looks_s < begins_s and looks_s > self._now():
                await asyncio.sleep(looks_s - self._now())
                if guard.refuses() in (None, "probing"):
                    break
                # one call in a hundred fails on every day, and it may be the one that tries
                looks_s = self._tally.bad_at_s[path] + _RECOVERS_WITHIN_S
                if looks_s <= self._now():
                    self._errors.append(f"{path}: {guard.refuses()} long after {one}")

    def _close(self, tickets: int) -> None:
        say = self._errors.append
        if self._outcomes.total() != tickets:
            say(f"{tickets} tickets, {self._outcomes.total()} outcomes")
        for path, vendor in (("short", "fast"), ("long", "slow")):
            self._errors.extend(self._tally.differences(path, self._vendors[vendor]))
        self._errors.extend(self._tally.broken_promises(tickets))
        if self._unexplained > _UNLUCKY * tickets + 2:
            say(f"{self._unexplained} tickets were refused although both vendors were well")
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            say(f"left behind: {sorted(str(task.get_coro()) for task in left)[:5]}")
        if self._pipeline.in_flight or self._admission.gate.in_use:
            say(
                f"{self._pipeline.in_flight} tickets and {self._admission.gate.in_use} slots are left"
            )
        self._digest.update(repr(sorted(self._tally.calls.items())).encode())


def _lingers_s(episode: Episode) -> float:
    """What is hopeless is asked about once a minute only; a model that loads, after 5 s."""
    return _HOPELESS_S if episode.kind in HOPELESS else 0.0
