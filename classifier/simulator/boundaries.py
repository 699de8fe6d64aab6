"""Where a ticket begins and ends in the message that holds it, as a model takes it."""

from __future__ import annotations

import re
import unicodedata

_OPENED = re.compile(r"\s*<([A-Za-z][\w-]*)>\s?")
_FORMAT = re.compile("[\xad\u200b-\u200f\u2060\ufeff]")
# What parts one speaker from another on servers that render a chat into one text.
_SPECIAL_TOKEN = re.compile(r"<\|[^|>\n]{1,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|</?s>")


def unmarked(message: str) -> str:
    """The ticket without the tag around it, so that the tag's name is no word of the ticket."""
    opened = _OPENED.match(message)
    if opened is None:
        return message
    return message[opened.end() :].rstrip().removesuffix(f"</{opened[1]}>").rstrip()


def outside(message: str) -> str:
    """What does not stand between the marks: all of it where there are none.

    A lenient reader: an end in capitals, in full width, with spaces or invisible characters in it
    is an end, and so is a chat template's special token.
    """
    message = _FORMAT.sub("", unicodedata.normalize("NFKC", message))
    opened = _OPENED.match(message)
    if opened is None:
        return message
    closed = re.compile(rf"<[\s/\\]*/[\s/\\]*{re.escape(opened[1])}\b[^>]*>", re.IGNORECASE)
    ends = [end for end in (closed.search(message), _SPECIAL_TOKEN.search(message)) if end]
    return message[min(end.end() for end in ends) :] if ends else ""
