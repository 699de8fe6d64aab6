"""What an attempt costs: a dated price table, usage on the wire, integer arithmetic."""

from __future__ import annotations

import re

from msgspec import Struct

from classifier.config.schema import Price, Prices
from classifier.errors import ConfigError
from classifier.money import picodollars_per_token, to_nanodollars
from classifier.records import NO_COST, UNKNOWN_COST, Cost, CostStatus, Usage

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
# The wire's words for "no special tier". `priority` is what a `fast` call reports back.
_PLAIN_TIERS = {None, "", "auto", "default", "standard"}
_TIER_ALIASES = {"fast": "priority"}


class Rate(Struct, frozen=True):
    """Pico-dollars per token of one model in one service tier. None: priced as plain input."""

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None


class PriceTable:
    """Rates by model and tier. Promise: an unknown model has no rate, never a rate of 0."""

    def __init__(self, prices: Prices) -> None:
        self.as_of = prices.as_of
        self._rates: dict[tuple[str, str], Rate] = {}
        for price in prices.models:
            key = (price.model, _tier(price.tier))
            if key in self._rates:
                raise ConfigError(f"prices: {price.model!r} tier {price.tier!r} stands there twice")
            self._rates[key] = _rate(price)

    def rate(self, model: str, tier: str | None = None) -> Rate | None:
        """The rate of a model as configured or as on the wire; None when the table has none."""
        for name in _names(model):
            if rate := self._rates.get((name, _tier(tier))):
                return rate
        return None

    def cost(self, usage: Usage | None, model: str, tier: str | None = None) -> Cost:
        """Prices one attempt; unknown usage or an unknown model is an unknown cost."""
        rate = self.rate(model, tier)
        if usage is None or rate is None:
            return UNKNOWN_COST
        return cost(usage, rate)


def cost(usage: Usage, rate: Rate) -> Cost:
    """(input - cached - written) * in + cached * cached + written * write + output * out.

    Source: the vendor's usage object, in which input includes cached and written tokens. When the
    endpoint did not send these details although they have rates of their own, all input is priced
    at the dearest rate that it can have had, and the cost says that it is an upper bound.
    """
    cached = usage.cached_input_tokens
    written = usage.cache_write_tokens
    cached_rate = rate.input if rate.cached_input is None else rate.cached_input
    write_rate = rate.input if rate.cache_write is None else rate.cache_write
    within = (cached or 0) + (written or 0) <= usage.input_tokens
    knows_cached = cached is not None or cached_rate == rate.input
    knows_written = written is not None or write_rate == rate.input
    exact = within and knows_cached and knows_written
    plain_rate = max(
        rate.input,
        cached_rate if cached is None else 0,
        write_rate if written is None else 0,
    )
    plain = max(0, usage.input_tokens - (cached or 0) - (written or 0))
    picodollars = (
        plain * plain_rate
        + (cached or 0) * cached_rate
        + (written or 0) * write_rate
        + usage.output_tokens * rate.output
    )
    return Cost(to_nanodollars(picodollars), "exact" if exact else "upper_bound")


def add(costs: list[Cost]) -> Cost:
    """The sum over a ticket's attempts: as well known as the worst of them, never 0 for unknown."""
    known = [c.nanodollars for c in costs if c.nanodollars is not None]
    if not costs:
        return NO_COST
    if not known:
        return UNKNOWN_COST
    return Cost(sum(known), _worst(costs))


def _worst(costs: list[Cost]) -> CostStatus:
    statuses = {c.status for c in costs}
    if statuses & {"partial", "unknown"}:
        return "partial"
    if "estimated" in statuses:
        return "estimated"
    return "upper_bound" if "upper_bound" in statuses else "exact"


def _rate(price: Price) -> Rate:
    try:
        return Rate(
            picodollars_per_token(price.input),
            picodollars_per_token(price.output),
            None if price.cached_input is None else picodollars_per_token(price.cached_input),
            None if price.cache_write is None else picodollars_per_token(price.cache_write),
        )
    except ValueError as error:
        raise ConfigError(f"prices: {price.model!r}: {error}") from error


def _tier(tier: str | None) -> str:
    return "default" if tier in _PLAIN_TIERS else _TIER_ALIASES.get(str(tier), str(tier))


def _names(model: str) -> tuple[str, ...]:
    """Names to look up, most exact first; `ft:BASE:org:suffix:id` is BASE's fine-tuned price.

    A fine-tune never falls back to the base price: fine-tuned tokens cost up to twice as much.
    """
    if model.startswith("ft:"):
        base = model.split(":")[1]
        return (model, f"ft:{base}", f"ft:{_SNAPSHOT.sub('', base)}")
    return (model, _SNAPSHOT.sub("", model))
