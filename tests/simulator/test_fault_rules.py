from __future__ import annotations

from random import Random

import pytest

from classifier.simulator.faults import FaultBook, Rule
from classifier.simulator.refusals import Refused


def served(book: FaultBook, calls: int, model: str = "m") -> list[str | None]:
    """Which fault each call gets."""
    rules = [book.choose(model, "") for _ in range(calls)]
    return [rule.fault if rule else None for rule in rules]


def test_share_is_drawn_reproducibly() -> None:
    """The same seed serves the same faults to the same calls, in about the share asked for."""
    books = [FaultBook(Random(seed)) for seed in (7, 7, 8)]
    for book in books:
        book.rules.append(Rule("quota", share=0.3))
    first, again, other = (served(book, 1_000) for book in books)
    assert first == again != other
    assert first.count("quota") == pytest.approx(300, abs=50)


def test_first_rule_that_hits_wins() -> None:
    """Rules are tried in order; one that is used up makes way for the next."""
    book = FaultBook(Random(1))
    book.rules += [
        Rule("quota", count=2),
        Rule("loading", model="m*", count=1),
        Rule("hang", model="x"),
    ]
    assert served(book, 4) == ["quota", "quota", "loading", None]
    assert served(book, 1, model="x") == ["hang"]


def test_misspelt_fault_is_refused() -> None:
    """A fault in a request's header must be one of the names."""
    book = FaultBook(Random(1))
    assert book.choose("m", "quota") == Rule("quota")
    with pytest.raises(Refused, match="unknown fault 'qouta'; there are: rate_limited, quota"):
        book.choose("m", "qouta")
