"""One run as it was: wishes, plan, samples, counters before and after, conditions, verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtests.metrics import Page
from loadtests.samples import Sample
from loadtests.scenario import Plan
from loadtests.settings import Settings
from loadtests.verdict import Verdict

_DAY_S = 86_400


@dataclass(kw_only=True)
class Run:
    """Filled in as the run goes on."""

    settings: Settings
    plan: Plan
    workers: int = 1
    samples: list[Sample] = field(default_factory=list)
    lags_ms: list[float] = field(default_factory=list)
    before: Page = field(default_factory=Page)
    after: Page = field(default_factory=Page)
    conditions: dict[str, str] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)  # seconds that each process used
    faults: list[tuple[float, str]] = field(default_factory=list)
    began: float = 0.0  # seconds since 1970
    cut: str = ""
    verdict: Verdict | None = None

    @property
    def simulated(self) -> bool:
        return any(sample.simulated for sample in self.samples)

    @property
    def is_alone(self) -> bool:
        """Whether the service's counters are this run's: one process, and nobody else's tickets."""
        return self.settings.conditions is not None and bool(self.before)

    @property
    def grown_mb(self) -> float | None:
        """How much more resident memory the service has than before; None where it does not say."""
        name = "process_resident_memory_bytes"
        before, after = self.before.total(name), self.after.total(name)
        return (after - before) / 2**20 if before and after else None

    @property
    def labelled(self) -> float | None:
        """Percent of the accepted deliveries that carried their label at the end of the run.

        In a house of our own the warm-up counts as well: some of it is labelled after the start.
        """
        new = self.after if self.is_alone else self.after.since(self.before)
        came = new.total("classifier_webhook_deliveries_total", outcome="accepted")
        done = new.total("classifier_loop_duration_seconds_count")
        return 100 * done / came if came else None

    def clock(self, at_s: float) -> str:
        """A moment of the run as the scenario's own time: of day, or minutes and seconds."""
        scenario = self.plan.scenario
        real_s = round(at_s * self.plan.compress)
        if scenario.clock_from_s is not None:
            minutes = int(scenario.clock_from_s + real_s) % _DAY_S // 60
            return f"{minutes // 60:02}:{minutes % 60:02}"
        return f"{real_s // 60}:{real_s % 60:02}"
