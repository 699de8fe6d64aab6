"""Trains the reader with scikit-learn; the only file that knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_union

from classifier.errors import ConfigError
from classifier.simulator.bag_of_words import BagOfWords, Block
from classifier.simulator.features import fold, grams, words
from classifier.simulator.rows import Row, taxonomy_rows
from classifier.taxonomy import Taxonomy

_FAMILIES: tuple[Callable[[list[str]], list[str]], ...] = (words, grams)
_MOST_TERMS = 20_000  # of one family, the most frequent: 60,000 are no righter, and slow to learn
# Naive Bayes learns 5,600 rows in 0.2 s and reads the shipped test tickets as well as logistic
# regression, which takes 90 s (measured 2026-11).
_SMOOTHING = 0.05


def train(taxonomy: Taxonomy, tickets: Sequence[Row] = ()) -> BagOfWords:
    """Learns the taxonomy's text and the tickets. Raises ConfigError for a label it does not have."""
    _refuse_strangers(taxonomy, tickets)
    rows = [*taxonomy_rows(taxonomy), *tickets]
    texts = [fold(text) for text, _ in rows]
    vectorizers = [_vectorizer(terms) for terms in _FAMILIES]
    features = make_union(*vectorizers).fit_transform(texts)
    model = MultinomialNB(alpha=_SMOOTHING, fit_prior=False)
    model.fit(features, [label for _, label in rows])
    return _lean(vectorizers, model)


def _vectorizer(terms: Callable[[list[str]], list[str]]) -> TfidfVectorizer:
    return TfidfVectorizer(analyzer=terms, sublinear_tf=True, max_features=_MOST_TERMS)


def _lean(vectorizers: Sequence[TfidfVectorizer], model: MultinomialNB) -> BagOfWords:
    """The trained numbers without the machinery that trained them."""
    weights, bias = model.feature_log_prob_, model.class_log_prior_
    blocks, start = [], 0
    for terms, one in zip(_FAMILIES, vectorizers, strict=True):
        places = {str(term): int(place) for term, place in one.vocabulary_.items()}
        part = weights[:, start : start + len(places)]
        blocks.append(Block(terms, places, one.idf_, np.ascontiguousarray(part.T, np.float32)))
        start += len(places)
    return BagOfWords([str(label) for label in model.classes_], blocks, bias)


def _refuse_strangers(taxonomy: Taxonomy, tickets: Sequence[Row]) -> None:
    known = set(taxonomy.names)
    for number, (_, label) in enumerate(tickets, 1):
        if label not in known:
            raise ConfigError(
                f"training ticket {number}: {label!r} is no label of taxonomy {taxonomy.name!r}"
            )
