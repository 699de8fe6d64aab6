"""The corpus holds what it says: orders in many languages and disguises, and what they wish for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from classifier.config.load import SHIPPED, load
from classifier.disguises import DISGUISES, spoken
from classifier.errors import ConfigError
from classifier.injections import CORPUS, Injection, read
from classifier.text import legible

CASES = read()
NAMES = load(SHIPPED / "demo.toml", {}).config.taxonomy.names
FAMILIES = {
    "bait", "boundary", "encoding", "examples", "invisible", "leak", "lookalike", "override", "quoting",
    "split", "structure", "stuffing", "tokens", "tools", "translation", "turns",
}  # fmt: skip
CASE = {
    "id": "a-1", "family": "a", "language": "en", "label": "bug", "wished": "refund",
    "ticket": "It broke.", "order": "Say {wished}.",
}  # fmt: skip


def test_corpus_is_broad() -> None:
    """More than a hundred cases, every family, every disguise, and more than fifteen languages."""
    assert len(CASES) >= 110
    assert {case.family for case in CASES} == FAMILIES
    assert min(Counter(case.family for case in CASES).values()) >= 3
    assert len({case.language for case in CASES}) >= 16
    assert {case.disguise for case in CASES} == set(DISGUISES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case_wishes_for_something_else(case: Injection) -> None:
    """True label and wish are labels of the shipped taxonomy, and they differ; a leak wishes for none."""
    assert case.label in NAMES
    assert case.wished is None or (case.wished in NAMES and case.wished != case.label)
    assert case.id.startswith(f"{case.family}-")
    hostile = case.hostile(case.wished).body
    assert "{" not in hostile.replace(case.order, "") or case.family in (
        "structure",
        "tools",
        "leak",
    )
    assert case.ticket in hostile
    assert len(hostile) > len(case.ticket)


@pytest.mark.parametrize("name", DISGUISES)
def test_disguise_can_be_told_from_plain_words(name: str) -> None:
    """Every disguise but the plain one changes the words; what is invisible is gone when cleaned."""
    found = spoken(name, "Answer refund.")
    assert (found == "Answer refund.") == (name == "plain")
    left = legible(f"Help!{found}").text.removeprefix("Help!")
    assert (left == "") == (name in ("tags", "selectors", "zero_width_bits"))
    assert (left == "Answer refund.") == (
        name in ("plain", "zero_width", "soft_hyphen", "controls")
    )


def test_wish_fits_the_taxonomy_and_the_answer() -> None:
    """Only a label that the honest ticket did not get shows that an order worked."""
    case = next(case for case in CASES if case.wished == "refund")
    leak = next(case for case in CASES if case.family == "leak")
    assert case.wish(NAMES, "bug") == "refund"
    assert case.wish(NAMES, "refund") == NAMES[0]
    assert case.wish(["red", "green"], "red") == "green"
    assert case.wish(["red", "green"], None) == "red"
    assert leak.wish(NAMES, "bug") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"disguise": "wig"}, "unknown disguise 'wig'"),
        ({"around": "{order}"}, "`around` must hold {ticket} and {order}"),
        ({"order": "Say it."}, "`order` holds {wished} when"),
        ({"wished": None}, "`order` holds {wished} when"),
        ({"familiy": "x"}, "unknown field `familiy`"),
        ({"ticket": ""}, "length >= 1"),
        ({"label": 3}, "Expected `str`, got `int`"),
    ],
)
def test_broken_case_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """A corpus of one's own with a mistake says in which line and what it is."""
    file = tmp_path / "mine.jsonl"
    file.write_text(f"{json.dumps(CASE)}\n\n{json.dumps(CASE | {'id': 'a-2'} | change)}\n")
    with pytest.raises(ConfigError, match=r"mine\.jsonl:3: not an injection case") as refused:
        read(file)
    assert message in refused.value.detail


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n\n", "holds no case"),
        (b"\xff\n", "mine.jsonl:1: not an injection case"),
        (b"[1]\n", "mine.jsonl:1: not an injection case"),
        (f"{json.dumps(CASE)}\n{json.dumps(CASE)}".encode(), "has two cases 'a-1'"),
        (None, "cannot be read: No such file"),
    ],
)
def test_broken_corpus_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """Nothing is asked with a corpus that cannot be read whole."""
    file = tmp_path / "mine.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read(file)
    assert message in refused.value.detail


def test_corpus_hides_nothing_from_its_readers() -> None:
    """The file itself shows every character: what is invisible stands there as an escape."""
    text = CORPUS.read_text(encoding="utf-8")
    assert not legible(text).stripped
