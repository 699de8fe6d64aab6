from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.paths.path import label_probability
from classifier.simulator.opinion import Opinion
from classifier.simulator.spelling import on_the_wire, spell, spell_words, written
from classifier.simulator.vocabulary import Vocabulary

LABELS = (
    "card",
    "card_arrival",
    "card_payment",
    "cancellation",
    "get_physical_card",
    "отмена",
    "解約",
)
AS_OPINION = Opinion(LABELS, (0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1), "card")


@pytest.mark.parametrize("label", LABELS)
def test_probabilities_multiply_to_the_labels(vocabulary: Vocabulary, label: str) -> None:
    """Also for labels that begin alike, and one that another begins with."""
    opinion = Opinion(LABELS, AS_OPINION.probabilities, label)
    steps = spell(opinion, vocabulary.pieces)
    total = math.exp(sum(step.logprob for step in steps))
    assert total == pytest.approx(opinion.probability)
    assert written(steps) == label


@settings(max_examples=60, deadline=None)
@given(
    weights=st.dictionaries(
        st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable()),
        st.floats(1e-6, 1.0),
        min_size=2,
        max_size=8,
    )
)
def test_any_labels_multiply_back(vocabulary: Vocabulary, weights: dict[str, float]) -> None:
    """Whatever the labels and their probabilities, no log probability is above 0 and none is lost."""
    total = sum(weights.values())
    shares = tuple(weight / total for weight in weights.values())
    opinion = Opinion(tuple(weights), shares, next(iter(weights)))
    steps = spell(opinion, vocabulary.pieces)
    assert max(step.logprob for step in steps) <= 0
    assert math.exp(sum(step.logprob for step in steps)) == pytest.approx(opinion.probability)


def test_service_reads_the_same_probability(vocabulary: Vocabulary) -> None:
    """What the service makes of the tokens is the probability that was put in."""
    opinion = Opinion(LABELS, AS_OPINION.probabilities, "card_payment")
    wire = on_the_wire(spell(opinion, vocabulary.pieces), 0)
    tokens = tuple((one["token"], one["logprob"]) for one in wire)
    assert label_probability("card_payment", "card_payment", tokens) == pytest.approx(0.1)


def test_rivals_are_shown_best_first(vocabulary: Vocabulary) -> None:
    """`top_logprobs` holds as many tokens as asked for; together they are no more than certain."""
    first = on_the_wire(spell(AS_OPINION, vocabulary.pieces), 3)[0]["top_logprobs"]
    odds = [math.exp(one["logprob"]) for one in first]
    assert len(first) == 3
    assert odds == sorted(odds, reverse=True)
    assert sum(odds) <= 1 + 1e-9


def test_other_words_have_logprobs_too(vocabulary: Vocabulary) -> None:
    """A text that is no label is spelt token by token as well."""
    steps = spell_words("no such label", vocabulary.pieces)
    assert written(steps) == "no such label"
    assert len(steps) == vocabulary.count("no such label")
