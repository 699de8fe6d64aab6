"""Says a label token by token, with the log probability that each token had.

P(token | tokens before it) = P(labels that go on this way) / P(labels that began this way), so the
tokens' probabilities multiply to the label's own, as they do when a model's output is restricted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from classifier.simulator.opinion import Opinion

Split = Callable[[str], tuple[bytes, ...]]
_SURE = math.log(0.9)  # of words that are no label: nothing is known about their alternatives


class Step(Struct, frozen=True):
    """One token: its bytes, its log probability and what else could have stood there."""

    piece: bytes
    logprob: float
    rivals: dict[bytes, float] = {}  # piece -> probability, its own included


def spell(opinion: Opinion, split: Split) -> list[Step]:
    """The label's tokens; their probabilities multiply to the label's."""
    pieces = split(opinion.label)
    alive = list(zip(map(split, opinion.offered), opinion.probabilities, strict=True))
    mass, steps = 1.0, []
    for position, piece in enumerate(pieces):
        rivals = _rivals(alive, position)
        if position == len(pieces) - 1:  # longer labels that begin with this one are not meant
            rivals[piece] = opinion.probability
        odds = {rival: min(1.0, share / mass) for rival, share in rivals.items()}
        steps.append(Step(piece, math.log(odds[piece]), odds))
        mass = rivals[piece]
        alive = [rest for rest in alive if rest[0][position : position + 1] == (piece,)]
    return steps


def _rivals(alive: Iterable[tuple[tuple[bytes, ...], float]], position: int) -> dict[bytes, float]:
    """Probability of each token that one of the labels has here."""
    found: dict[bytes, float] = {}
    for pieces, probability in alive:
        if position < len(pieces):
            found[pieces[position]] = found.get(pieces[position], 0.0) + probability
    return found


def spell_words(text: str, split: Split) -> list[Step]:
    """Tokens of a text that is no label."""
    return [Step(piece, _SURE) for piece in split(text)]


def written(steps: Iterable[Step]) -> str:
    """The text that the tokens make; a character that was cut in two is left out."""
    return b"".join(step.piece for step in steps).decode("utf-8", "ignore")


def on_the_wire(steps: Iterable[Step], top: int) -> list[dict[str, Any]]:
    """`choices[].logprobs.content` of a chat completion, with `top` rivals a token."""
    return [
        {
            **_token(step.piece, step.logprob),
            "top_logprobs": [_token(piece, math.log(odds)) for piece, odds in _best(step, top)],
        }
        for step in steps
    ]


def _best(step: Step, top: int) -> list[tuple[bytes, float]]:
    return sorted(step.rivals.items(), key=lambda rival: -rival[1])[:top]


def _token(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": piece.decode("utf-8", "replace"), "bytes": list(piece), "logprob": logprob}
