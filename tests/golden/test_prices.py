"""What an attempt costs, to the nano-dollar: recorded replies against arithmetic done by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.config.load import SHIPPED
from classifier.config.schema import Options, Prices
from classifier.config.toml import Document, convert
from classifier.errors import ConfigError
from classifier.paths.chat import ChatCodec
from classifier.paths.decisions import DecisionsCodec
from classifier.ports import Codec, RawReply
from classifier.pricing import PriceTable, Rate, add, cost
from classifier.prompts import Prompt
from classifier.records import NO_COST, UNKNOWN_COST, Cost, Usage
from classifier.taxonomy import Label, Taxonomy

CASES = json.loads((Path(__file__).parent / "usage.json").read_text(encoding="utf-8"))["cases"]
PROMPT = Prompt("p", "Sort.", "", "", "p@1")
TAXONOMY = Taxonomy(name="t", labels=(Label(name="billing"), Label(name="other")))
CODECS: dict[str, Codec] = {
    "chat": ChatCodec("m", PROMPT, Options(), 1_000),
    "decisions": DecisionsCodec("m", PROMPT, Options(), 1_000, TAXONOMY),
}
TOKENS = st.integers(0, 1_000_000_000)
RATES = st.builds(
    Rate,
    input=st.integers(0, 10**9),
    output=st.integers(0, 10**9),
    cached_input=st.none() | st.integers(0, 10**9),
    cache_write=st.none() | st.integers(0, 10**9),
)
COSTS = st.one_of(
    st.just(UNKNOWN_COST),
    st.builds(
        Cost,
        st.integers(0, 10**12),
        st.sampled_from(["exact", "upper_bound", "estimated", "partial"]),
    ),
)


def shipped() -> PriceTable:
    """The price table that people get."""
    text = (SHIPPED / "prices.toml").read_text(encoding="utf-8")
    document = Document("prices.toml", text)
    return PriceTable(convert(document, document.tables["prices"], Prices))


def table(*models: dict[str, Any]) -> PriceTable:
    """A price table as it stands in a config file."""
    return PriceTable(msgspec.convert({"as_of": "2026-11-22", "models": models}, Prices))


def known(found: Cost) -> int:
    """The amount of a cost that has one."""
    assert found.nanodollars is not None
    return found.nanodollars


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_recorded_reply_costs_what_was_worked_out(case: dict[str, Any]) -> None:
    """Bytes in, nano-dollars out: through the codec and the shipped price table."""
    reply = CODECS[case["kind"]].decode(RawReply(json.dumps(case["reply"]).encode()))
    found = shipped().cost(reply.usage, case["price"], reply.service_tier)
    assert (found.nanodollars, found.status) == (case["nanodollars"], case["status"])
    assert reply.refused is case["refused"]


def test_recorded_replies_cover_every_status() -> None:
    """Both backend kinds, each with costs that are exact, bounded and unknown."""
    found = {(case["kind"], case["status"]) for case in CASES}
    statuses = ("exact", "upper_bound", "unknown")
    assert found == {(kind, status) for kind in CODECS for status in statuses}
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_fine_tune_never_costs_its_bases_price() -> None:
    """Fine-tuned tokens cost up to twice as much; without a price of their own they are unknown."""
    prices = table({"model": "base", "input": 0.15, "output": 0.6})
    usage = Usage(100, 1, 0, 0)
    assert prices.cost(usage, "base") == Cost(15_600)
    for model in ("ft:base", "ft:base:org:name:id", "ft:base-2024-07-18:org::id", "ft:", "ft"):
        assert prices.cost(usage, model) == UNKNOWN_COST


def test_most_exact_name_wins() -> None:
    """A fine-tune or snapshot with a price of its own does not get the general one."""
    prices = table(
        {"model": "m", "input": 1, "output": 0},
        {"model": "m-2026-01-01", "input": 2, "output": 0},
        {"model": "ft:m", "input": 3, "output": 0},
        {"model": "ft:m-2026-01-01", "input": 4, "output": 0},
        {"model": "ft:m:org::mine", "input": 5, "output": 0},
    )
    models = [
        "m", "m-2026-02-02", "m-2026-01-01", "ft:m:org::x", "ft:m-2026-02-02:org::x",
        "ft:m-2026-01-01:org::x", "ft:m:org::mine",
    ]  # fmt: skip
    costs = [prices.cost(Usage(1, 0, 0, 0), model).nanodollars for model in models]
    assert costs == [1_000, 1_000, 2_000, 3_000, 3_000, 4_000, 5_000]


def test_fraction_of_a_nanodollar_is_rounded_once() -> None:
    """0.0425 dollars per million are 42.5 nano-dollars a token: tokens are added up, then rounded."""
    prices = table({"model": "m", "input": "0.0425", "output": "0.0005"})
    assert prices.cost(Usage(1, 0, 0, 0), "m") == Cost(43)  # 42.5
    assert prices.cost(Usage(1, 1, 0, 0), "m") == Cost(43)  # 43.0
    assert prices.cost(Usage(3, 0, 0, 0), "m") == Cost(128)  # 127.5, not 3 x 43


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([{"model": "m", "input": -1, "output": 0}], "'m': a price must be a number >= 0"),
        ([{"model": "m", "input": 0, "output": "0.0000001"}], "'m': a price must be a number >= 0"),
        ([{"model": "m", "input": "NaN", "output": 0}], "'m': a price must be a number >= 0"),
        ([{"model": "m", "input": 1, "output": 1}] * 2, "'m' tier 'default' stands there twice"),
        (
            [
                {"model": "m", "tier": "fast", "input": 1, "output": 1},
                {"model": "m", "tier": "priority", "input": 1, "output": 1},
            ],
            "'m' tier 'priority' stands there twice",
        ),
    ],
)
def test_impossible_price_is_refused(models: list[dict[str, Any]], message: str) -> None:
    """A price that is negative, too fine, no number or there twice stops the start."""
    with pytest.raises(ConfigError) as refused:
        table(*models)
    assert refused.value.detail.startswith(f"prices: {message}")


def test_float_of_a_toml_file_is_the_price_as_written() -> None:
    """0.075 in a file is 75 nano-dollars a token, not the binary fraction next to it."""
    document = Document("p.toml", "[[models]]\nmodel = 'm'\ninput = 0.075\noutput = 1.2\n")
    prices = PriceTable(convert(document, {"as_of": "2026-11-22", **document.tables}, Prices))
    assert prices.rate("m") == Rate(75_000, 1_200_000)


@given(RATES, TOKENS, TOKENS, st.none() | TOKENS, st.none() | TOKENS, TOKENS)
def test_more_tokens_never_cost_less(
    rate: Rate, plain: int, output: int, cached: int | None, written: int | None, more: int
) -> None:
    """Every further token, in or out, costs at least nothing."""
    total = plain + (cached or 0) + (written or 0)
    less = known(cost(Usage(total, output, cached, written), rate))
    assert known(cost(Usage(total + more, output, cached, written), rate)) >= less
    assert known(cost(Usage(total, output + more, cached, written), rate)) >= less


@given(RATES, TOKENS, TOKENS, TOKENS, TOKENS)
def test_upper_bound_is_never_too_low(
    rate: Rate, plain: int, output: int, cached: int, written: int
) -> None:
    """Whatever the endpoint did not tell, the real cost is not above what is booked."""
    total = plain + cached + written
    exact = cost(Usage(total, output, cached, written), rate)
    assert exact.status == "exact"
    for told in ((None, None), (cached, None), (None, written)):
        booked = cost(Usage(total, output, *told), rate)
        assert known(booked) >= known(exact)
        assert booked.status == "upper_bound" or known(booked) == known(exact)


@given(st.lists(COSTS, max_size=6))
def test_costs_of_attempts_add_up(costs: list[Cost]) -> None:
    """The sum of what is known, in any order; one unknown cost makes it partial, never smaller."""
    found = add(costs)
    amounts = [c.nanodollars for c in costs if c.nanodollars is not None]
    assert add(costs[::-1]) == found
    assert (found.nanodollars is None) == (bool(costs) and not amounts)
    assert found.nanodollars is None or found.nanodollars == sum(amounts)
    assert (found.status == "exact") == all(c.status == "exact" for c in costs)


@given(st.lists(COSTS, min_size=1, max_size=4), st.lists(COSTS, min_size=1, max_size=4))
def test_sums_may_be_summed(one: list[Cost], two: list[Cost]) -> None:
    """How attempts are grouped does not change what they cost together."""
    assert add([add(one), add(two)]) == add(one + two)


@pytest.mark.parametrize(
    ("costs", "total"),
    [
        ([], NO_COST),
        ([Cost(5)], Cost(5)),
        ([Cost(5), Cost(7)], Cost(12)),
        ([Cost(5), Cost(7, "upper_bound")], Cost(12, "upper_bound")),
        ([Cost(5), UNKNOWN_COST], Cost(5, "partial")),
        ([Cost(5, "upper_bound"), UNKNOWN_COST], Cost(5, "partial")),
        ([UNKNOWN_COST, UNKNOWN_COST], UNKNOWN_COST),
        ([NO_COST, UNKNOWN_COST], Cost(0, "partial")),
    ],
)
def test_sum_is_as_well_known_as_its_worst(costs: list[Cost], total: Cost) -> None:
    """Nothing asked costs 0; nothing known is unknown, never 0."""
    assert add(costs) == total
