"""The scenarios, one file each."""

from __future__ import annotations

from loadtests.scenario import Scenario
from loadtests.scenarios import burst, day, mixed, outage, overload, peak, repeat, webhooks
from loadtests.settings import LoadError

SCENARIOS: dict[str, Scenario] = {
    module.SCENARIO.name: module.SCENARIO
    for module in (day, peak, burst, repeat, outage, mixed, overload, webhooks)
}


def find(name: str) -> Scenario:
    """Raises LoadError with all names for one that is none."""
    if name not in SCENARIOS:
        raise LoadError(f"unknown scenario {name!r}; there are: {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
