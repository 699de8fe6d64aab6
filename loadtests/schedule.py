"""The arrivals of one worker: when, which arm, which tickets, as bytes ready to be sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from loadtests.arrivals import arrivals
from loadtests.scenario import Arm, Plan
from loadtests.traffic import Draw, Row
from loadtests.webhooks import event

WARM_UP = 20


class Arrival(NamedTuple):
    """One request. `due_s` counts from the start of the run."""

    due_s: float
    arm: Arm
    route: str
    media_type: str
    body: bytes
    labels: tuple[str | None, ...]


def schedule(
    plan: Plan, rows: Sequence[Row], seed: int, mark: str, *, index: int = 0, workers: int = 1
) -> Iterator[Arrival]:
    """Promise: the same arguments give the same arrivals, whatever happens meanwhile.

    N workers with a part each are together one Poisson process with the plan's rates.
    """
    name = f"{seed}:{index}:{workers}"
    mine = plan.count // workers + (index < plan.count % workers)
    # all times now, texts as they are needed: 50,000 bodies need not lie in memory
    moments = arrivals(plan.rates.times(1 / workers), mine, Random(f"{name}:times"))
    return _with_texts(plan, moments, rows, f"{mark}{index:x}", Random(name))


def _with_texts(
    plan: Plan, moments: Sequence[float], rows: Sequence[Row], mark: str, random: Random
) -> Iterator[Arrival]:
    draw = plan.scenario.texts.start(rows, mark, random)
    arms = plan.scenario.arms
    heights = list(accumulate(arm.share for arm in arms))
    for number, due_s in enumerate(moments):
        arm = random.choices(arms, cum_weights=heights)[0]
        yield _arrival(due_s, arm, number, draw, due_s / plan.rates.span_s, mark)


def warm_up(rows: Sequence[Row], arms: Sequence[Arm], mark: str) -> Iterator[Arrival]:
    """A few tickets before the start, through every arm: connections, code and models are warm."""
    for number in range(WARM_UP):
        arm = arms[number % len(arms)]
        yield _arrival(
            0.0, arm, number, lambda number, _: rows[number % len(rows)], 0.0, f"{mark}w"
        )


def _arrival(due_s: float, arm: Arm, number: int, draw: Draw, at: float, mark: str) -> Arrival:
    drawn = [draw(number * arm.batch + place, at) for place in range(arm.batch)]
    lines = [
        json.dumps({"id": f"{mark}-{number:x}-{place:x}", **row.ticket}).encode()
        for place, row in enumerate(drawn)
    ]
    labels = tuple(row.label for row in drawn)
    if arm.door:
        body = json.dumps(event(json.loads(lines[0]))).encode()
        return Arrival(due_s, arm, arm.door, "application/json", body, labels)
    if arm.batch > 1:
        body = b"\n".join(lines)
        return Arrival(
            due_s, arm, _route("/classify/batch", arm), "application/x-ndjson", body, labels
        )
    return Arrival(due_s, arm, _route("/classify", arm), "application/json", lines[0], labels)


def _route(door: str, arm: Arm) -> str:
    query = [f"path={arm.path}"] if arm.path else []
    query += [] if arm.use_cache else ["cache=off"]
    return f"{door}?{'&'.join(query)}" if query else door
