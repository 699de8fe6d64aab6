"""The day that the claim is about: 50,000 tickets, most of them in two humps."""

from loadtests.limits import usual
from loadtests.scenario import Arm, Scenario

TICKETS = 50_000
# Relative rate by hour. The two humps and the dip at noon are what desks in one time zone see; the
# heights are assumed (no helpdesk publishes them hour by hour): 1.9 times the mean at the peak.
HOURS = (
    (0, 0.16), (3, 0.08), (5, 0.10), (7, 0.35), (8, 0.65), (9, 0.90), (10, 1.00), (11, 1.00),
    (12, 0.78), (13, 0.66), (14, 0.88), (15, 0.96), (16, 0.85), (17, 0.60), (18, 0.42), (20, 0.34),
    (22, 0.25), (24, 0.16),
)  # fmt: skip

SCENARIO = Scenario(
    name="day",
    shows="50,000 tickets of a business day, every text another one",
    weights=HOURS,
    stands_for_s=86_400,
    total=TICKETS,
    clock_from_s=0,
    minutes=2,
    peak=50,
    # one ticket in ten is a control: the same tickets, sent to the long path whatever the routes say
    arms=(Arm(name="routed", share=0.9), Arm(name="control", share=0.1, path="long")),
    limits=usual(),
)
