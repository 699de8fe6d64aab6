"""First Redis goes, later the model: what is answered, what is refused, and how soon it is over."""

from loadtests.limits import (
    VALIDITY,
    Limit,
    answered_share,
    anything,
    from_cache,
    from_model,
    honest,
    latency,
    overhead,
    recovery_s,
    served,
    share,
)
from loadtests.samples import Sample
from loadtests.scenario import Arm, Phase, Scenario
from loadtests.traffic import Either, Repeated, Unique

_CONNECTION_LOST = 0


def _refused(sample: Sample) -> bool:
    return not sample.ok


def _crashed(sample: Sample) -> bool:
    return sample.status in (_CONNECTION_LOST, 500)


SCENARIO = Scenario(
    name="outage",
    shows="Redis is killed and comes back, then every model is overloaded and comes back",
    weights=((0, 1), (1, 1)),
    minutes=1.5,
    peak=30,
    texts=Either(Unique(), Repeated(distinct=20), share=0.4),
    arms=(Arm(name="routed", share=1.0),),
    phases=(
        Phase(name="before", start=0.0, end=0.2),
        Phase(name="Redis gone", start=0.2, end=0.4, gone="redis"),
        Phase(name="Redis back", start=0.4, end=0.55),
        Phase(name="model gone", start=0.55, end=0.75, gone="model"),
        Phase(name="model back", start=0.75, end=1.0),
    ),
    limits=(
        Limit(
            name="before_answered", of="tickets that got a label", phase="before",
            measure=answered_share, at=99.9, unit="%", at_least=True,
        ),
        Limit(
            name="redis_answered", of="tickets that got a label", phase="Redis gone",
            measure=answered_share, at=99.9, unit="%", at_least=True,
        ),
        Limit(
            name="redis_overhead_p99_ms", of="the service's own part, p99", phase="Redis gone",
            measure=overhead(99), at=100,
        ),
        Limit(
            name="model_honest", of="labels, or refusals that say when to come back",
            phase="model gone", measure=share(honest, among=anything), at=100, unit="%",
            at_least=True,
        ),
        Limit(
            name="crashes", of="answers 500 and lost connections, in the whole run",
            measure=share(_crashed, among=anything), at=0, unit="%",
        ),
        Limit(
            name="model_refusal_p95_ms", of="a refusal, p95", phase="model gone",
            measure=latency(95, _refused), at=2_000,
        ),
        Limit(
            name="model_cached_p95_ms", of="a cached answer, in the service, p95",
            phase="model gone", measure=served(95, from_cache), at=20,
        ),
        Limit(
            name="recovery_s", of="until the last refused ticket", phase="model back",
            measure=recovery_s, at=10, unit="s",
        ),
        Limit(
            name="after_short_p95_ms", of="short path, asked alone, p95", phase="model back",
            measure=latency(95, from_model("short")), at=300,
        ),
        Limit(
            name="model_bites", of="tickets refused: the outage was one", phase="model gone",
            measure=share(_refused, among=anything), at=40, unit="%", at_least=True, kind="proof",
        ),
        *VALIDITY,
    ),
)  # fmt: skip
