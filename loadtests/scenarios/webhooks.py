"""Signed deliveries of a helpdesk while the model takes two seconds: is each acknowledged at once?"""

from loadtests import webhooks
from loadtests.limits import (
    Limit,
    anything,
    labelled_share,
    lag,
    latency,
    lateness,
    round_trip,
    share,
)
from loadtests.samples import Sample
from loadtests.scenario import Arm, Scenario

_ACCEPTED = 200


def _acknowledged(sample: Sample) -> bool:
    return sample.status == _ACCEPTED


SCENARIO = Scenario(
    name="webhooks",
    shows="signed deliveries at 12/s, each safe on disk before its 2xx, while models take 2 s",
    weights=((0, 1), (1, 1)),
    minutes=1.0,
    peak=12,
    models="slow.toml",
    config="webhooks.toml",
    arms=(Arm(name="delivery", share=1.0, door=webhooks.ROUTE),),
    limits=(
        Limit(
            name="acknowledged", of="deliveries that got their 2xx",
            measure=share(_acknowledged, among=anything), at=100, unit="%", at_least=True,
        ),
        Limit(
            name="ack_p50_ms", of="acknowledgement, p50",
            measure=latency(50, _acknowledged), at=50,
        ),
        Limit(
            name="ack_p99_ms", of="acknowledgement, p99",
            measure=latency(99, _acknowledged), at=100,
        ),
        Limit(
            name="ack_worst_ms", of="acknowledgement, the slowest of all",
            measure=round_trip(100, _acknowledged), at=500,  # Intercom waits no longer
        ),
        Limit(
            name="labelled", of="of these, tickets that carried their label by the end",
            measure=labelled_share, at=90, unit="%", at_least=True,
        ),
        Limit(
            name="late_p99_ms", kind="validity", measure=lateness(), at=20,
            of="lateness of the generator, p99",
        ),
        Limit(
            name="lag_p99_ms", kind="validity", measure=lag, at=20,
            of="stalls of the generator's own loop, p99",
        ),
    ),
)  # fmt: skip
