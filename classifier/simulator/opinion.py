"""What the simulator thinks of a ticket, and who may think it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Opinion(Struct, frozen=True):
    """A probability for every label that was offered, in their order, and the one it would say.

    The probabilities add up to 1 and none of them is 0. `words` is what it says instead of a
    label, where a ticket could talk it into that.
    """

    offered: tuple[str, ...]
    probabilities: tuple[float, ...]
    label: str
    words: str | None = None

    @property
    def said(self) -> str:
        return self.label if self.words is None else self.words

    @property
    def probability(self) -> float:
        """How likely it holds what it says."""
        return self.probabilities[self.offered.index(self.label)]


class Reader(Protocol):
    """Reads tickets. Promise: pure; a probability per offered label, whatever text and labels."""

    def probabilities(
        self, text: str, offered: Sequence[str], sharpness: float
    ) -> tuple[float, ...]: ...


def decide(
    offered: tuple[str, ...], probabilities: tuple[float, ...], abstain: str, abstain_below: float
) -> Opinion:
    """The likeliest label, or the abstain label where it is on offer and nothing is likely."""
    best = max(probabilities)
    label = offered[probabilities.index(best)]
    if best < abstain_below and abstain in offered:
        label = abstain
    return Opinion(offered, probabilities, label)
