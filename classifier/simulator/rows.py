"""What the reader learns from: the taxonomy's own text, and labelled tickets in files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from classifier.errors import ConfigError
from classifier.records import Ticket
from classifier.taxonomy import Label, Taxonomy

Row = tuple[str, str]  # text, label
_NO_WORD = re.compile(r"[\W_]+")
_CLAUSE_END = re.compile(r"[,:;]\s")


class _Line(Struct):
    body: str
    label: str
    subject: str = ""
    split: str | None = None


_decoder = msgspec.json.Decoder(_Line)


def read_rows(path: Path, split: str = "train") -> list[Row]:
    """Labelled tickets of an NDJSON file: those of one split, and those that name none.

    Shape of a line: `{"body", "label", "subject"?, "split"?}`. Raises ConfigError with the place.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"the training file {path} cannot be read: {error.strerror}") from error
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    found = (_read(path, number, line) for number, line in numbered)
    return [(_text(line), line.label) for line in found if line.split in (None, split)]


def _read(path: Path, number: int, line: bytes) -> _Line:
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}:{number}: not a labelled ticket: {error}") from error


def _text(line: _Line) -> str:
    return Ticket(body=line.body, subject=line.subject).text


def taxonomy_rows(taxonomy: Taxonomy) -> list[Row]:
    """All that a prompt could show of each label."""
    return [(text, label.name) for label in taxonomy.labels for text in _shown(label)]


def _shown(label: Label) -> Iterator[str]:
    """Name, description, its clauses one by one (2 to 4 points righter, measured 2026-11), examples."""
    yield _NO_WORD.sub(" ", label.name)
    if label.description:
        yield label.description
        yield from _CLAUSE_END.split(label.description)
    yield from label.examples
