"""Runs that never happened: samples as a test needs them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

from loadtests.metrics import Page
from loadtests.run import Run
from loadtests.samples import Sample
from loadtests.scenario import Plan, plan
from loadtests.scenarios import find
from loadtests.settings import Settings
from loadtests.verdict import judge

CLAIMS = """\
classifier_claim_seconds{path="short"} 0.1
classifier_claim_seconds{path="long"} 0.4
classifier_claim_savings_ratio 0.9
classifier_cost_dollars_total{path="long",reason="shadow"} 0.002
"""


def sample(latency_ms: float = 100.0, **changes: object) -> Sample:
    """An answer of the short path as the service gives it."""
    usual = Sample(
        at_s=0.0,
        late_ms=0.5,
        latency_ms=latency_ms,
        round_trip_ms=latency_ms - 0.5,
        status=200,
        arm="routed",
        path="short",
        source="model",
        total_ms=latency_ms - 2,
        model_ms=latency_ms - 4,
        cache_ms=0.3,
        overhead_ms=2.0,
        nanodollars=20_000,
        input_tokens=70,
        output_tokens=1,
        simulated=True,
    )
    return usual._replace(**changes)  # type: ignore[arg-type]


def refused(at_s: float = 0.0, **changes: object) -> Sample:
    """A 503 as the service gives it."""
    usual = Sample(
        at_s=at_s,
        late_ms=0.5,
        latency_ms=12.0,
        round_trip_ms=11.5,
        status=503,
        arm="routed",
        failed=1,
        problem="no-path-answered",
        retry_after=True,
    )
    return usual._replace(**changes)  # type: ignore[arg-type]


def plan_of(scenario: str, **wishes: object) -> Plan:
    """A scenario's plan with wishes, as `dev load` has them."""
    return plan(find(scenario), replace(Settings(), **wishes))  # type: ignore[arg-type]


def many(count: int = 400, seed: int = 1) -> list[Sample]:
    """Routed tickets on the short path and a control on the long one, some cached, one refused."""
    random = Random(seed)
    found = []
    for number in range(count):
        at_s = 120 * number / count
        if number % 4 == 3:
            latency_ms = 400 * random.lognormvariate(0, 0.2)
            found.append(
                sample(latency_ms, at_s=at_s, arm="control", path="long", nanodollars=140_000)
            )
        elif number % 10 == 0:
            found.append(
                sample(
                    2.0, at_s=at_s, source="cache", nanodollars=0, model_ms=0.0, total_ms=0.4,
                    overhead_ms=0.4,
                )
            )  # fmt: skip
        else:
            found.append(sample(100 * random.lognormvariate(0, 0.2), at_s=at_s))
    return found


def run_of(samples: list[Sample], scenario: str = "day", **changes: object) -> Run:
    """A run with its verdict."""
    planned = plan_of(scenario)
    found = Run(
        settings=Settings(conditions=Path("x")), plan=planned, samples=samples, lags_ms=[0.5] * 200
    )
    found.after = Page(CLAIMS)
    found.before = Page(CLAIMS.replace("0.002", "0.001"))
    found.conditions = {"date": "2026-11-22 12:00 UTC", "machine": "a test"}
    found.cpu = {"service": 1.5, "generator": 0.5}
    for name, value in changes.items():
        setattr(found, name, value)
    found.verdict = judge(planned, found.samples, found.lags_ms, found.cut)
    return found
