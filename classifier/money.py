"""Integer money: nano-dollars inside, exact decimal strings outside.

One dollar is 10**9 nano-dollars. Rates are pico-dollars per token (10**12 to the dollar), because
some vendors charge fractions of a nano-dollar per token; a cost is rounded once, half up.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

NANODOLLARS_PER_DOLLAR = 10**9
PICODOLLARS_PER_NANODOLLAR = 1_000


def usd(nanodollars: int) -> str:
    """Writes nano-dollars as an exact decimal string of dollars, without trailing zeros."""
    sign = "-" if nanodollars < 0 else ""
    dollars, rest = divmod(abs(nanodollars), NANODOLLARS_PER_DOLLAR)
    fraction = f"{rest:09d}".rstrip("0")
    return f"{sign}{dollars}.{fraction}" if fraction else f"{sign}{dollars}"


def nanodollars(text: str) -> int:
    """Reads a decimal string of dollars; the inverse of `usd`.

    Raises ValueError when the text is no decimal or finer than a nano-dollar.
    """
    try:
        # a Fraction, because a product of Decimals is rounded to 28 digits
        amount = Fraction(Decimal(text)) * NANODOLLARS_PER_DOLLAR
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"not an amount of dollars: {text!r}") from error
    if amount.denominator != 1:
        raise ValueError(f"finer than a nano-dollar: {text!r}")
    return amount.numerator


def picodollars_per_token(usd_per_million: Decimal) -> int:
    """A vendor's price in dollars per million tokens as a whole rate per token.

    Raises ValueError when the price is negative or finer than a pico-dollar per token.
    """
    if usd_per_million.is_finite() and usd_per_million >= 0:
        rate = Fraction(usd_per_million) * 1_000_000
        if rate.denominator == 1:
            return rate.numerator
    raise ValueError(
        f"a price must be a number >= 0 with at most 6 decimals, not {usd_per_million}"
    )


def to_nanodollars(picodollars: int) -> int:
    """Rounds half up to whole nano-dollars; amounts are never negative."""
    return (picodollars + PICODOLLARS_PER_NANODOLLAR // 2) // PICODOLLARS_PER_NANODOLLAR
