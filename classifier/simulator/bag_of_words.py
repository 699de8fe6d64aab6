"""The reader: TF-IDF and logistic regression, trained at start, evaluated with numpy alone.

scikit-learn's own predict takes some 2 ms a ticket; the same weights looked up here take 0.3 ms
for a short ticket, and the event loop waits that long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from classifier.simulator.features import fold

Floats = NDArray[np.floating]
_LEAST = 1e-9  # no probability is 0: its logarithm goes on the wire


class Block(Struct, frozen=True):
    """One family of terms: where each stands, how rare it is, and what it says for each label."""

    terms: Callable[[list[str]], list[str]]
    places: dict[str, int]
    rarity: Floats
    weights: Floats

    def scores(self, folded: list[str]) -> Floats:
        """Sublinear TF-IDF of unit length, times the weights: as TfidfVectorizer does it."""
        counts = Counter(map(self.places.get, self.terms(folded)))
        known = {place: count for place, count in counts.items() if place is not None}
        places = np.fromiter(known, np.intp, len(known))
        values = np.fromiter(known.values(), np.float64, len(known))
        values = (1.0 + np.log(values)) * self.rarity[places]
        length = np.sqrt(values @ values) or 1.0
        scores: Floats = (values / length) @ self.weights[places]
        return scores


class BagOfWords:
    """A `Reader` of fixed weights."""

    def __init__(self, labels: Sequence[str], blocks: Sequence[Block], bias: Floats) -> None:
        self._places = {label: place for place, label in enumerate(labels)}
        self._blocks = blocks
        self._bias = bias

    def probabilities(
        self, text: str, offered: Sequence[str], sharpness: float
    ) -> tuple[float, ...]:
        """A label it was never taught is as unlikely as the unlikeliest that it knows."""
        scores = self.scores(text)
        scores = np.append(scores, scores.min())
        chosen = sharpness * scores[[self._places.get(label, -1) for label in offered]]
        likely = np.maximum(np.exp(chosen - chosen.max()), _LEAST)
        return tuple((likely / likely.sum()).tolist())

    def scores(self, text: str) -> Floats:
        """Log-odds of every label, in the order of training."""
        folded = fold(text)
        return sum((block.scores(folded) for block in self._blocks), start=self._bias)
