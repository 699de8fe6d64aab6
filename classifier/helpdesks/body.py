"""Reads a vendor's JSON: whatever stands there, a lookup gives the kind that was asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from classifier.errors import Malformed
from classifier.records import Ticket

_TICKET_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_TAGS = 256
_Step = str | int


class Body:
    """Parsed JSON. Promise: no lookup raises; what is missing or of another kind reads as empty."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def at(self, *path: _Step) -> Body:
        found = self.value
        for step in path:
            if isinstance(found, dict) and isinstance(step, str):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int) and -1 <= step < len(found):
                found = found[step] if found else None
            else:
                return Body(None)
        return Body(found)

    def text(self, *path: _Step) -> str:
        """A string, or a number as one: ids come as both."""
        value = self.at(*path).value
        if isinstance(value, str):
            return value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return str(value) if is_number else ""

    def some(self, *path: _Step) -> str | None:
        """A text that is not empty."""
        return self.text(*path) or None

    def ticket_id(self, *path: _Step) -> str:
        """A text that may stand in a URL's path, or nothing."""
        found = self.text(*path)
        return found if _TICKET_ID.fullmatch(found) else ""

    def truth(self, *path: _Step) -> bool:
        return self.at(*path).value is True

    def items(self, *path: _Step) -> Iterator[Body]:
        value = self.at(*path).value
        return (Body(each) for each in value) if isinstance(value, list) else iter(())

    def words(self, *path: _Step) -> tuple[str, ...]:
        """The texts of a list."""
        return tuple(word for each in self.items(*path) if (word := each.text()))

    def time_s(self, *path: _Step) -> float | None:
        """A moment as Unix seconds: from seconds, milliseconds or ISO 8601."""
        value = self.at(*path).value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _unix_s(value)
        return _iso_s(value) if isinstance(value, str) else None


_MILLISECONDS_FROM = 1e11  # as seconds that is the year 5138
_LONGEST_TIME = 40  # characters


def _unix_s(value: float) -> float | None:
    if not math.isfinite(value) or not 0 < value < _MILLISECONDS_FROM * 1_000:
        return None
    return value / 1_000 if value >= _MILLISECONDS_FROM else float(value)


def _iso_s(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value[:_LONGEST_TIME])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def read(data: bytes) -> Body:
    """Raises Malformed, and nothing else."""
    try:
        return Body(msgspec.json.decode(data))
    except (ValueError, RecursionError):
        raise Malformed("the body is not valid JSON in UTF-8") from None


def ticket(
    *,
    id: str,
    body: str,
    subject: str = "",
    language: str | None = None,
    channel: str | None = None,
    tags: tuple[str, ...] = (),
) -> Ticket:
    """A ticket within the limits of its record, whatever the vendor sent."""
    return Ticket(
        id=id[:256],
        subject=subject,
        body=body,
        language=language[:35] if language else None,
        channel=channel[:64] if channel else None,
        tags=tuple(tag[:256] for tag in tags[:_MOST_TAGS]),
    )
