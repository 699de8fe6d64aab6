"""Something broke at our customers: hundreds of nearly identical tickets within seconds."""

from loadtests.limits import Limit, answered_share, from_model, latency, served, share, usual
from loadtests.samples import Sample
from loadtests.scenario import Arm, Phase, Scenario
from loadtests.traffic import Outbreak

_START, _END = 0.40, 0.52


def _free(sample: Sample) -> bool:
    return sample.source in ("cache", "coalesced")


SCENARIO = Scenario(
    name="burst",
    shows="hundreds of nearly identical tickets within seconds, half of them word for word the same",
    weights=((0, 0.06), (40, 0.06), (40.5, 1.0), (51.5, 1.0), (52, 0.06), (100, 0.06)),
    minutes=1,
    peak=80,
    texts=Outbreak(_START, _END),
    arms=(Arm(name="routed", share=1.0),),
    phases=(
        Phase(name="before", start=0.0, end=_START),
        Phase(name="burst", start=_START, end=_END),
        Phase(name="after", start=_END + 0.05, end=1.0),
    ),
    limits=usual(
        Limit(
            name="burst_answered", of="tickets of the burst that got a label", phase="burst",
            measure=answered_share, at=99.5, unit="%", at_least=True,
        ),
        Limit(
            name="burst_free", of="tickets of the burst that cost nothing", phase="burst",
            measure=share(_free), at=40, unit="%", at_least=True,
        ),
        Limit(
            name="burst_free_p99_ms", of="those, in the service, p99", phase="burst",
            measure=served(99, _free), at=1_500,
        ),
        Limit(
            name="after_short_p90_ms", of="short path after the burst, p90", phase="after",
            measure=latency(90, from_model("short")), at=300,
        ),
    ),
)  # fmt: skip
