"""The same texts again and again: what the cache is worth."""

from loadtests.limits import Limit, answered_share, from_cache, served, share, usual
from loadtests.samples import Sample
from loadtests.scenario import Arm, Phase, Scenario
from loadtests.traffic import Repeated


def _paid(sample: Sample) -> bool:
    return sample.ok and sample.source == "cache" and sample.nanodollars != 0


def _hit(sample: Sample) -> bool:
    return sample.source in ("cache", "coalesced")


_USUAL = ("answered", "short_p50_ms", "short_p95_ms", "late_p99_ms", "late_share", "lag_p99_ms")

SCENARIO = Scenario(
    name="repeat",
    shows="200 texts that come again and again, the most frequent a sixth of the time",
    weights=((0, 1), (1, 1)),
    minutes=1,
    peak=60,
    texts=Repeated(distinct=200),
    arms=(Arm(name="routed", share=1.0),),
    phases=(
        Phase(name="filling", start=0.0, end=0.25),
        Phase(name="filled", start=0.25, end=1.0),
    ),
    limits=(
        *(limit for limit in usual() if limit.name in _USUAL),
        Limit(
            name="hits", of="tickets answered from the cache", phase="filled",
            measure=share(_hit), at=95, unit="%", at_least=True,
        ),
        Limit(
            name="hit_p50_ms", of="a cached answer, in the service, p50",
            measure=served(50, from_cache), at=2,
        ),
        Limit(
            name="hit_p99_ms", of="a cached answer, in the service, p99",
            measure=served(99, from_cache), at=20,
        ),
        Limit(
            name="paid_hits", of="cached answers that cost something",
            measure=share(_paid, among=from_cache), at=0, unit="%",
        ),
        Limit(
            name="filled_answered", of="tickets that got a label", phase="filled",
            measure=answered_share, at=99.9, unit="%", at_least=True,
        ),
    ),
)  # fmt: skip
