"""A text as words, pairs of words and pieces of words: all that the reader sees of it."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from classifier.text import head_and_tail

MAX_CHARS = 4_000  # keeps the event loop's longest pause at a few milliseconds
_SUBJECT = re.compile(r"\s*subject:", re.IGNORECASE)
_WORD = re.compile(r"\w\w+")
_SHORTEST, _LONGEST = 2, 5


def fold(text: str) -> list[str]:
    """The words in lower case, without accents and without the `Subject:` of our own format."""
    if header := _SUBJECT.match(text):
        text = text[header.end() :]
    text = head_and_tail(text, MAX_CHARS).casefold()
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in parts if not unicodedata.combining(char))
    return _WORD.findall(text)


def words(folded: list[str]) -> list[str]:
    """Words, and pairs of neighbours."""
    return folded + [f"{one} {two}" for one, two in pairwise(folded)]


def grams(folded: list[str]) -> list[str]:
    """Pieces of 2 to 5 letters within each word; a space marks where a word begins and ends."""
    found = []
    for word in folded:
        padded = f" {word} "
        end = len(padded) + 1
        for length in range(_SHORTEST, min(_LONGEST, len(padded)) + 1):
            found += [padded[at : at + length] for at in range(end - length)]
    return found
