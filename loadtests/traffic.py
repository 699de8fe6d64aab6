"""Where tickets come from: rows of a data file, made unique, repeated or nearly the same."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from loadtests.settings import LoadError

_SHORT_CHARS = 400
_FIELDS = ("subject", "body", "language", "channel", "tags")


class Row(NamedTuple):
    """One ticket as it is sent, and its right label where a model cannot have learned it."""

    ticket: dict[str, Any]
    label: str | None = None
    topic: str | None = None  # the label, whoever knows it


Draw = Callable[[int, float], Row]


class Texts(Protocol):
    """Promise: the same rows, mark and random draw the same tickets in the same order."""

    def start(self, rows: Sequence[Row], mark: str, random: Random) -> Draw:
        """A function of (number of the ticket, place in the run from 0 to 1)."""
        ...


def read_rows(file: Path) -> list[Row]:
    """Tickets of an NDJSON file; `label` and `split` are optional. Raises LoadError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise LoadError(f"{file}: {error}") from error
    rows = [_row(record) for record in records if isinstance(record, dict) and "body" in record]
    if not rows:
        raise LoadError(f"{file}: no line is a JSON object with a `body`")
    return rows


def _row(record: dict[str, Any]) -> Row:
    ticket = {name: record[name] for name in _FIELDS if record.get(name) not in (None, "")}
    ticket.setdefault("body", "")
    label = record.get("label")
    held_out = record.get("split") in (None, "", "test")
    return Row(ticket, label if held_out else None, label)


def marked(row: Row, mark: str) -> Row:
    """The ticket with a mark at its end, about 7 tokens long: no cache knows it."""
    return row._replace(ticket={**row.ticket, "body": f"{row.ticket['body']}\n\n#{mark}"})


@dataclass(frozen=True)
class Unique:
    """Every ticket is another one: the cache never helps."""

    def start(self, rows: Sequence[Row], mark: str, random: Random) -> Draw:
        return lambda number, _: marked(random.choice(rows), f"{mark}-{number:x}")


@dataclass(frozen=True)
class Repeated:
    """A few texts come again and again, the first far more often than the last (Zipf's law)."""

    distinct: int = 200
    skew: float = 1.0

    def start(self, rows: Sequence[Row], mark: str, random: Random) -> Draw:
        pool = [marked(random.choice(rows), f"{mark}-r{k:x}") for k in range(self.distinct)]
        heaps = list(accumulate((k + 1) ** -self.skew for k in range(self.distinct)))
        return lambda _number, _at: pool[bisect_left(heaps, random.random() * heaps[-1])]


@dataclass(frozen=True)
class Either:
    """Both, `share` of them from the second."""

    first: Texts
    second: Texts
    share: float

    def start(self, rows: Sequence[Row], mark: str, random: Random) -> Draw:
        first = self.first.start(rows, mark, random)
        second = self.second.start(rows, f"{mark}b", random)

        def draw(number: int, at: float) -> Row:
            return (second if random.random() < self.share else first)(number, at)

        return draw


@dataclass(frozen=True)
class Outbreak:
    """From `start_at` to `end_at` of the run nearly everybody writes the same.

    `same` of those copies are word for word the same (forwarded mails, a form's text), the others
    differ in a greeting and a number, which is another text to the cache.
    """

    start_at: float
    end_at: float
    share: float = 0.95
    same: float = 0.5
    topic: str = "outage"

    def start(self, rows: Sequence[Row], mark: str, random: Random) -> Draw:
        usual = Unique().start(rows, mark, random)
        about = [
            row
            for row in rows
            if row.topic == self.topic and len(row.ticket["body"]) < _SHORT_CHARS
        ]
        copy = marked((about or rows)[0], f"{mark}-copy")

        def draw(number: int, at: float) -> Row:
            if not self.start_at <= at < self.end_at or random.random() > self.share:
                return usual(number, at)
            return copy if random.random() < self.same else _variant(copy, number, random)

        return draw


def _variant(row: Row, number: int, random: Random) -> Row:
    greeting = random.choice(("Hi", "Hello", "Dear support", "Good morning", "Urgent"))
    body = f"{greeting}, customer {10_000 + number} here.\n{row.ticket['body']}"
    return row._replace(ticket={**row.ticket, "body": body})
