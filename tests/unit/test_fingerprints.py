"""Content has one name, on every machine and in every process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.fingerprints import fingerprint

CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def test_name_is_the_same_on_every_machine() -> None:
    """BLAKE2b over sorted JSON: `printf '["a",1,{"x":null,"y":"é"}]' | b2sum -l 64` gives this."""
    assert fingerprint("a", 1, {"y": "é", "x": None}) == "ae6815e3100302ce"


@given(st.dictionaries(st.text(max_size=3), CONTENT, max_size=5))
def test_order_of_a_table_is_no_content(table: dict[str, object]) -> None:
    """Tables with the same entries are the same, however they were written down."""
    assert fingerprint(dict(reversed(table.items()))) == fingerprint(table)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", None), ("a",)),
        (("1",), (1,)),
        ((["a"], "b"), (["a", "b"],)),
        ((0,), (False,)),
        (([1, 2],), ([2, 1],)),
    ],
)
def test_other_content_has_another_name(one: tuple[object], two: tuple[object]) -> None:
    """Neither types nor the borders between parts are lost."""
    assert fingerprint(*one) != fingerprint(*two)
