"""A marketing mail, a recall, a Monday: twenty times the mean rate for a quarter of an hour."""

from itertools import pairwise

from loadtests.limits import usual
from loadtests.scenario import Arm, Phase, Scenario
from loadtests.scenarios.day import TICKETS

MEAN = TICKETS / 86_400  # tickets a second of an average day
FACTOR = 20
# minutes and multiples of the mean: five quiet minutes on either side, half a minute to rise
MINUTES = ((0, 1), (5, 1), (5.5, FACTOR), (20.5, FACTOR), (21, 1), (26, 1))
_LENGTH = MINUTES[-1][0]
_AREA = sum(
    (end - start) * (before + after) / 2 for (start, before), (end, after) in pairwise(MINUTES)
)

SCENARIO = Scenario(
    name="peak",
    shows="20 times the mean rate for 15 minutes, with quiet minutes before and after",
    weights=MINUTES,
    stands_for_s=_LENGTH * 60,
    total=_AREA * 60 * MEAN,
    minutes=2,
    peak=50,
    arms=(Arm(name="routed", share=0.9), Arm(name="control", share=0.1, path="long")),
    phases=(Phase(name="peak", start=5.5 / _LENGTH, end=20.5 / _LENGTH),),
    limits=usual(),
)
