"""Where a ticket begins and ends in the message that holds it, as a model takes it."""

from __future__ import annotations

import re

_OPENED = re.compile(r"\s*<([A-Za-z][\w-]*)>\s?")


def unmarked(message: str) -> str:
    """The ticket without the tag around it, so that the tag's name is no word of the ticket."""
    opened = _OPENED.match(message)
    if opened is None:
        return message
    return message[opened.end() :].rstrip().removesuffix(f"</{opened[1]}>").rstrip()
