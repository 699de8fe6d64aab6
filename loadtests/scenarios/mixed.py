"""Everything at once: single tickets, batches and forced paths, some of them repeated."""

from loadtests.limits import Limit, latency, usual
from loadtests.samples import Sample
from loadtests.scenario import Arm, Scenario
from loadtests.traffic import Either, Repeated, Unique


def _batch(sample: Sample) -> bool:
    return sample.ok and sample.tickets > 1


SCENARIO = Scenario(
    name="mixed",
    shows="single tickets, batches of 20 and forced paths side by side, one text in five known",
    weights=((0, 1), (1, 1)),
    minutes=1,
    peak=15,
    texts=Either(Unique(), Repeated(distinct=50), share=0.2),
    arms=(
        Arm(name="routed", share=0.70),
        Arm(name="batch", share=0.05, batch=20),
        Arm(name="forced short", share=0.10, path="short"),
        Arm(name="control", share=0.10, path="long"),
        Arm(name="uncached", share=0.05, use_cache=False),
    ),
    limits=usual(
        Limit(name="batch_p95_ms", of="a batch of 20, p95", measure=latency(95, _batch), at=6_000),
    ),
)
