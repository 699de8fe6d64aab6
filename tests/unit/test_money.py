"""Money is exact to the nano-dollar, or it is refused."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.money import nanodollars, picodollars_per_token, to_nanodollars, usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (36_000, "0.000036"),
        (999_999_999, "0.999999999"),
        (1_000_000_000, "1"),
        (1_500_000_000, "1.5"),
        (-12_340_000_000, "-12.34"),
        (10**30, "1000000000000000000000"),
    ],
)
def test_amounts_read_as_people_write_them(amount: int, text: str) -> None:
    """A plain decimal, never an exponent, never a trailing zero."""
    assert usd(amount) == text
    assert nanodollars(text) == amount


@given(st.integers())
def test_every_amount_comes_back(amount: int) -> None:
    """What is written can be read again without the loss of a single nano-dollar, however large."""
    text = usd(amount)
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d{0,8}[1-9])?", text)
    assert nanodollars(text) == amount


@given(st.integers(), st.integers(1, 10**30))
def test_finer_than_a_nanodollar_is_refused(amount: int, beyond: int) -> None:
    """No digit behind the ninth is dropped in silence."""
    text = f"{abs(amount)}.000000000{str(beyond).rstrip('0')}"
    with pytest.raises(ValueError, match="finer than a nano-dollar"):
        nanodollars(text)


@pytest.mark.parametrize(
    "text", ["", "ten", "1,5", "$1", "nan", "snan", "inf", "-inf", "0x1", "1/2"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """A text that is no decimal is a ValueError and nothing else."""
    with pytest.raises(ValueError, match="not an amount of dollars"):
        nanodollars(text)


@pytest.mark.parametrize(
    ("usd_per_million", "rate"),
    [("0", 0), ("0.15", 150_000), ("1.875", 1_875_000), ("0.000001", 1), ("600", 600_000_000)],
)
def test_price_becomes_whole_picodollars(usd_per_million: str, rate: int) -> None:
    """A dollar per million tokens is a million pico-dollars per token."""
    assert picodollars_per_token(Decimal(usd_per_million)) == rate


@pytest.mark.parametrize(
    "usd_per_million",
    ["-0.15", "0.0000001", "0.1000000000000000000000000000000001", "nan", "snan", "inf", "-inf"],
)
def test_price_that_cannot_be_whole_is_refused(usd_per_million: str) -> None:
    """A price is never rounded: one that does not fit is refused."""
    with pytest.raises(ValueError, match="at most 6 decimals"):
        picodollars_per_token(Decimal(usd_per_million))


@pytest.mark.parametrize(
    ("picodollars", "amount"),
    [
        (0, 0),
        (499, 0),
        (500, 1),
        (999, 1),
        (1_499, 1),
        (1_500, 2),
        (2_500, 3),
        (130_500_000, 130_500),
    ],
)
def test_half_a_nanodollar_rounds_up(picodollars: int, amount: int) -> None:
    """Rounding is half up, not half to even: 1,500 and 2,500 both go up."""
    assert to_nanodollars(picodollars) == amount


@given(st.integers(0, 10**24))
def test_rounding_moves_at_most_half(picodollars: int) -> None:
    """A rounded cost is never further away than half a nano-dollar."""
    assert -500 < to_nanodollars(picodollars) * 1_000 - picodollars <= 500
