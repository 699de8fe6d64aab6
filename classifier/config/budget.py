"""`[budget]`: what a day's calls to models may cost, and what is given up on the way there."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, field

from classifier.config.section import Name, Section, Share
from classifier.money import nanodollars

# What has been given up, in the order of severity.
StepName = Literal["no_shadows", "cheapest", "cache_only"]
_TIME_OF_DAY = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_MOST_USD = Decimal(1_000_000)  # Redis counts in floats of Lua, exact up to 9 million dollars


class Step(Section, frozen=True, kw_only=True):
    """What is given up from a part of the day's money on."""

    at: Annotated[Share, Meta(description="part of `usd_per_day` that is spent")]
    give_up: Annotated[
        StepName,
        Meta(
            description="`no_shadows`: shadow calls; `cheapest`: all but the cheapest path of each "
            "ticket's plan; `cache_only`: models, so that only cached answers are given"
        ),
    ]


_STEPS = (
    Step(at=0.8, give_up="no_shadows"),
    Step(at=0.9, give_up="cheapest"),
    Step(at=1.0, give_up="cache_only"),
)


class Budget(Section, frozen=True, kw_only=True):
    """A cap on a day's calls to models, over all replicas that share Redis and the cache secret."""

    usd_per_day: Annotated[
        Decimal, Meta(description="cap on all calls, shadow calls included; 0: none")
    ] = Decimal(0)
    paths: Annotated[
        dict[Name, Decimal],
        Meta(description="cap per path; a path that has spent its own is passed over"),
    ] = field(default_factory=dict)
    time_zone: Annotated[
        str, Meta(description="whose day it is: a name of the IANA database, as `Europe/Berlin`")
    ] = "UTC"
    resets_at: Annotated[
        str, Meta(description="time of day at which a new day begins, `HH:MM`")
    ] = "00:00"
    steps: Annotated[
        tuple[Step, ...],
        Meta(description="what is given up on the way, least first; nothing is asked beyond 1.0"),
    ] = _STEPS
    unknown_call_usd: Annotated[
        Decimal, Meta(description="what a call on a path without a price counts as")
    ] = Decimal("0.001")
    slice_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="part of a cap that a process takes from Redis at once; a crash strands it",
        ),
    ] = 0.01
    alone_share: Annotated[
        Share,
        Meta(
            description="part of a cap that each process may spend in a day while its Redis is away"
        ),
    ] = 0.1

    @property
    def caps(self) -> dict[str, int]:
        """Nano-dollars by scope: `total`, and `path:NAME`. Empty without a budget."""
        total = {"total": self.usd_per_day} if self.usd_per_day else {}
        paths = {f"path:{name}": usd for name, usd in self.paths.items()}
        return {scope: nanodollars(str(usd)) for scope, usd in (total | paths).items()}

    def __post_init__(self) -> None:
        """Raises ValueError for amounts, times and orders that cannot be meant."""
        for usd in (self.usd_per_day, self.unknown_call_usd, *self.paths.values()):
            if not usd.is_finite() or not 0 <= usd <= _MOST_USD:
                raise ValueError(f"an amount must be from 0 to {_MOST_USD} dollars, not {usd}")
            nanodollars(str(usd))
        if not _TIME_OF_DAY.fullmatch(self.resets_at):
            raise ValueError(f"resets_at must be a time of day as 00:00, not {self.resets_at!r}")
        _check_zone(self.time_zone)
        _check_steps(self.steps)


def _check_zone(name: str) -> None:
    try:
        if name != "UTC":
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"time_zone {name!r} is not in this machine's time zones") from error


def _check_steps(steps: tuple[Step, ...]) -> None:
    order: tuple[str, ...] = ("no_shadows", "cheapest", "cache_only")
    severities = [order.index(step.give_up) for step in steps]
    shares = [step.at for step in steps]
    if severities != sorted(set(severities)) or shares != sorted(shares):
        raise ValueError(f"steps must rise, in `at` and in the order {', '.join(order)}")
