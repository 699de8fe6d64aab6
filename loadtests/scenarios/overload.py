"""Ten times what the models can take: what is still answered, what is refused, how soon it is over."""

from loadtests.limits import (
    VALIDITY,
    Limit,
    answered_share,
    anything,
    from_model,
    goodput_kept,
    honest,
    latency,
    memory_growth,
    recovery_s,
    refused,
    round_trip,
    share,
)
from loadtests.samples import Sample
from loadtests.scenario import Arm, Phase, Scenario

# Tickets a second that the four slots of narrow.toml are good for: 4 / 0.11 s.
CAPACITY = 36.0
_CONNECTION_LOST = 0
_STEP = 10.0
# (where the run is, times the capacity)
_LOAD = (
    (0.00, 0.5), (0.15, 0.5), (0.15, 1.5), (0.35, 1.5), (0.35, 0.5), (0.45, 0.5),
    (0.45, _STEP), (0.80, _STEP), (0.80, 0.5), (1.00, 0.5),
)  # fmt: skip


def _crashed(sample: Sample) -> bool:
    return sample.status in (_CONNECTION_LOST, 500, 503)


SCENARIO = Scenario(
    name="overload",
    shows="ten times what the models can take, after their capacity was measured",
    weights=_LOAD,
    minutes=1.5,
    peak=CAPACITY * _STEP,
    models="narrow.toml",
    # past the routes: one model, one capacity
    arms=(Arm(name="short", share=1.0, path="short"),),
    phases=(
        Phase(name="before", start=0.0, end=0.15),
        Phase(name="at capacity", start=0.17, end=0.35),
        Phase(name="step", start=0.45, end=0.80),
        Phase(name="after", start=0.80, end=1.0),
    ),
    limits=(
        Limit(
            name="before_answered", of="tickets that got a label", phase="before",
            measure=answered_share, at=99.9, unit="%", at_least=True,
        ),
        Limit(
            name="goodput_kept", of="labels a second under the step, of those at capacity",
            measure=goodput_kept("step", "at capacity"), at=90, unit="%", at_least=True,
        ),
        Limit(
            name="accepted_p99_ms", of="accepted tickets, p99", phase="step",
            measure=latency(99), at=2_500,
        ),
        Limit(
            name="refused_p50_ms", of="a refusal, p50, from being sent", phase="step",
            measure=round_trip(50, refused), at=5,
        ),
        Limit(
            name="refused_p95_ms", of="a refusal, p95, from being sent", phase="step",
            measure=round_trip(95, refused), at=25,
        ),
        Limit(
            name="step_honest", of="labels, or refusals that say when to come back", phase="step",
            measure=share(honest, among=anything), at=100, unit="%", at_least=True,
        ),
        Limit(
            name="crashes", of="answers 500 and 503 and lost connections, in the whole run",
            measure=share(_crashed, among=anything), at=0, unit="%",
        ),
        Limit(
            name="recovery_s", of="until the last refused ticket", phase="after",
            measure=recovery_s, at=5, unit="s",
        ),
        Limit(
            name="after_p95_ms", of="short path after the step, p95", phase="after",
            measure=latency(95, from_model("short")), at=500,
        ),
        Limit(
            name="grown_mb", of="growth of the service's memory", measure=memory_growth, at=32,
            unit="MB",
        ),
        Limit(
            name="capacity_reached", of="tickets refused: the models were at their limit",
            phase="at capacity", measure=share(refused, among=anything), at=5, unit="%",
            at_least=True, kind="proof",
        ),
        Limit(
            name="step_bites", of="tickets refused: it was one", phase="step",
            measure=share(refused, among=anything), at=70, unit="%", at_least=True, kind="proof",
        ),

        *VALIDITY,
    ),
)  # fmt: skip
