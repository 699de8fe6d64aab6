"""A model that does what a ticket tells it to: the worst reader that a defence must survive.

message ─▶ what it hears (all of it, or what stands outside the marks) ─▶ readings ─▶ an order? ─▶ obeyed
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from classifier.simulator.boundaries import outside
from classifier.simulator.config import Obeys
from classifier.simulator.opinion import Opinion
from classifier.simulator.readings import readings

SURE = 0.97  # whoever was told what to say has no doubts
_MOST_SAID = 200
# "say", "answer", "label", "reply", "output", "choose" in the corpus's languages, as orders.
_SAY = (
    r"answer|repl(?:y|ies)|respond|output|say|label|classify|choose|print|"
    r"antworte|ordne|réponds|responde|responda|clasifica|rispondi|antwoord|odpowiedz|yan\u0131tla|"
    r"ответь|відповідай|回答|输出|答え|답하|أجب|उत्तर|ענה|trả lời"
)
_NEAR = r"[^.!?\n]{0,40}?"
_LEAK = re.compile(
    r"(?:repeat|print|reveal|show|répète|输出|逐字)[^.!?\n]{0,30}?(?:instructions|prompt|提示)",
    re.IGNORECASE,
)
_QUOTED = re.compile(rf"(?:{_SAY})[^\"'\n]{{0,30}}?([\"'])(.+)\1", re.IGNORECASE)


class Naive:
    """Finds the order in a message. Promise: pure; knows no more of the ticket than a model would."""

    def __init__(self, obeys: Obeys) -> None:
        self._heard = outside if obeys == "outside" else str

    def answer(self, message: str, instructions: str, opinion: Opinion) -> Opinion:
        """The opinion that it would have had, or what it was told to say."""
        for reading in readings(self._heard(message)):
            label = _ordered(reading, opinion.offered)
            if label is not None:
                return _convinced(opinion, label)
            words = _words(reading, instructions)
            if words:
                return Opinion(opinion.offered, opinion.probabilities, opinion.label, words)
        return opinion


def _ordered(text: str, offered: Sequence[str]) -> str | None:
    """The label that stands next to an order to say it, before or after."""
    label = "|".join(re.escape(name) for name in sorted(offered, key=len, reverse=True))
    word = rf"(?<![\w-])({label})(?![\w-])"
    found = re.search(
        rf"(?:{_SAY}){_NEAR}{word}|{word}[^.!?\n]{{0,12}}?(?:{_SAY})", text, re.IGNORECASE
    )
    if found is None:
        return None
    said = (found[1] or found[2]).casefold()
    return next((name for name in offered if name.casefold() == said), None)


def _words(text: str, instructions: str) -> str | None:
    """Something else that it was told to say: its own instructions, or words in quotes."""
    if _LEAK.search(text):
        return instructions[:_MOST_SAID] or None
    quoted = _QUOTED.search(text)
    return quoted[2][:_MOST_SAID] if quoted else None


def _convinced(opinion: Opinion, label: str) -> Opinion:
    rest = (1 - SURE) / max(1, len(opinion.offered) - 1)
    shares = tuple(SURE if name == label else rest for name in opinion.offered)
    return Opinion(opinion.offered, shares, label)
