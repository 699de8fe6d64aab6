from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union

from classifier.config.load import SHIPPED
from classifier.errors import ConfigError
from classifier.simulator.bag_of_words import BagOfWords
from classifier.simulator.features import fold, grams, words
from classifier.simulator.opinion import decide
from classifier.simulator.rows import Row, read_rows, taxonomy_rows
from classifier.simulator.training import train
from classifier.taxonomy import Label, Taxonomy
from tests.simulator.conftest import TICKETS

CHANCE = 1 / 16


def accuracy(reader: BagOfWords, taxonomy: Taxonomy, rows: list[Row]) -> float:
    """Share of tickets whose likeliest label is the expected one."""
    right = 0
    for text, label in rows:
        found = reader.probabilities(text, taxonomy.names, 1.0)
        right += taxonomy.names[found.index(max(found))] == label
    return right / len(rows)


def test_unseen_tickets_are_read_above_chance(
    base_reader: BagOfWords, tuned_reader: BagOfWords, taxonomy: Taxonomy
) -> None:
    """A bag of words reads these short tickets in 13 languages far better than a guess."""
    unseen = read_rows(TICKETS, "test")
    base, tuned = (accuracy(reader, taxonomy, unseen) for reader in (base_reader, tuned_reader))
    print(f"right on {len(unseen)} unseen tickets: examples {base:.3f}, tickets {tuned:.3f}")  # noqa: T201
    assert base > 3 * CHANCE
    assert tuned > 4 * CHANCE


def test_phrase_book_reads_unseen_tickets(taxonomy: Taxonomy) -> None:
    """With the shipped phrases two of three unseen tickets are read right, so that a demo makes sense."""
    reader = train(taxonomy, read_rows(SHIPPED / "phrases.jsonl"))
    assert accuracy(reader, taxonomy, read_rows(TICKETS, "test")) > 2 / 3


def test_learned_tickets_are_known(
    base_reader: BagOfWords, tuned_reader: BagOfWords, taxonomy: Taxonomy, training: list[Row]
) -> None:
    """The skill `tickets` knows what it learned, the skill `examples` never saw it."""
    assert accuracy(tuned_reader, taxonomy, training) > 0.99
    assert accuracy(base_reader, taxonomy, training) < 0.5


def test_lean_numbers_are_scikit_learns(
    base_reader: BagOfWords, taxonomy: Taxonomy, training: list[Row]
) -> None:
    """The numpy evaluation gives the probabilities that scikit-learn gives."""
    families = (TfidfVectorizer(analyzer=terms, sublinear_tf=True) for terms in (words, grams))
    whole = make_pipeline(make_union(*families), MultinomialNB(alpha=0.05, fit_prior=False))
    rows = taxonomy_rows(taxonomy)
    whole.fit([fold(text) for text, _ in rows], [label for _, label in rows])
    expected = whole.predict_proba([fold(text) for text, _ in training])
    found = [base_reader.probabilities(text, whole.classes_, 1.0) for text, _ in training]
    assert np.abs(expected - np.array(found)).max() < 1e-5


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300), data=st.data())
def test_only_what_is_offered_is_answered(
    base_reader: BagOfWords, taxonomy: Taxonomy, text: str, data: st.DataObject
) -> None:
    """Whatever the text and the labels, each gets a probability above 0, and they add up to 1."""
    names = st.one_of(st.sampled_from(taxonomy.names), st.text(min_size=1, max_size=8))
    offered = tuple(data.draw(st.lists(names, min_size=2, max_size=20, unique=True)))
    sharpness = data.draw(st.floats(0.1, 50.0))
    found = base_reader.probabilities(text, offered, sharpness)
    assert len(found) == len(offered)
    assert min(found) > 0
    assert math.isclose(sum(found), 1.0, rel_tol=1e-9)
    opinion = decide(offered, found, taxonomy.abstain, data.draw(st.floats(0.0, 1.0)))
    assert opinion.label in offered
    assert 0 < opinion.probability <= 1


def test_offer_renormalises(base_reader: BagOfWords, taxonomy: Taxonomy) -> None:
    """Leaving labels out does not change the odds between the others."""
    text = "I want my money back"
    everything = dict(
        zip(taxonomy.names, base_reader.probabilities(text, taxonomy.names, 1.0), strict=True)
    )
    refund, billing = base_reader.probabilities(text, ("refund", "billing"), 1.0)
    assert refund / billing == pytest.approx(everything["refund"] / everything["billing"])


def test_sharpness_makes_it_surer(base_reader: BagOfWords, taxonomy: Taxonomy) -> None:
    """A higher sharpness raises the best probability and leaves the order."""
    mild, sharp = (
        base_reader.probabilities("Please refund me", taxonomy.names, sharpness)
        for sharpness in (1.0, 3.0)
    )
    assert max(sharp) > max(mild)
    assert sharp.index(max(sharp)) == mild.index(max(mild))


def test_abstains_only_where_it_may() -> None:
    """The abstain label is said below the threshold, and never when it is not on offer."""
    assert decide(("a", "b", "other"), (0.5, 0.3, 0.2), "other", 0.5).label == "a"
    assert decide(("a", "b", "other"), (0.5, 0.3, 0.2), "other", 0.51).label == "other"
    assert decide(("a", "b"), (0.5, 0.5), "other", 1.0).label == "a"


def test_subject_line_is_only_format() -> None:
    """The subject's words count, the word `Subject:` does not; accents and case do not either."""
    assert fold("Subject: Réclamation\n\nÀ l'aide") == ["reclamation", "aide"]
    assert fold("The subject: money") == ["the", "subject", "money"]


def test_pieces_of_words() -> None:
    """Words, pairs and pieces are what TF-IDF counts."""
    assert words(["new", "door"]) == ["new", "door", "new door"]
    assert grams(["ab"]) == [" a", "ab", "b ", " ab", "ab ", " ab "]


def test_two_labels_are_enough() -> None:
    """The smallest taxonomy is learned too."""
    labels = (Label(name="yes", examples=("I agree",)), Label(name="no", examples=("never ever",)))
    reader = train(Taxonomy(name="tiny", labels=labels, abstain="no"))
    assert reader.probabilities("I agree", ("yes", "no"), 1.0)[0] > 0.5
    assert reader.probabilities("never ever", ("yes", "no"), 1.0)[0] < 0.5


def test_strange_labels_are_refused(taxonomy: Taxonomy) -> None:
    """A training label that the taxonomy does not have stops the start, with its place."""
    with pytest.raises(ConfigError, match="training ticket 2: 'refnud'"):
        train(taxonomy, [("a", "refund"), ("b", "refnud")])
