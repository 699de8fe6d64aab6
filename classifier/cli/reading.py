"""Tickets from NDJSON or CSV, columns mapped; a bad row is reported, not fatal."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import Struct

from classifier.errors import ConfigError
from classifier.records import Ticket

FIELDS = ("id", "subject", "body", "language", "channel", "tags")
Format = Literal["ndjson", "csv"]


class Row(Struct, frozen=True):
    """One input row: a ticket, or why there is none. `expected` is its label, where it has one."""

    number: int
    id: str
    ticket: Ticket | None
    fault: str = ""
    expected: str | None = None
    held_out: bool = True


class Columns(Struct, frozen=True):
    """Which column holds which field; without a mapping a field's own name."""

    names: dict[str, str]
    label: str = "label"

    def of(self, field: str) -> str:
        return self.names.get(field, field)


def parse_mapping(mappings: list[str], label: str) -> Columns:
    """`body=text` reads the ticket's body from column `text`. Raises ConfigError."""
    names = {}
    for mapping in mappings:
        field, equals, column = mapping.partition("=")
        if not equals or field not in FIELDS:
            raise ConfigError(f"--map {mapping}: write FIELD=COLUMN; fields: {', '.join(FIELDS)}")
        names[field] = column
    return Columns(names, label)


def read_rows(source: str, form: Format | None, columns: Columns) -> Iterator[Row]:
    """Rows of a file, or of standard input for `-`. Raises ConfigError for an unreadable file."""
    with _opened(source) as raw:
        is_csv = form == "csv" or (form is None and source.lower().endswith(".csv"))
        records = _csv(raw) if is_csv else _ndjson(raw)
        for number, record in enumerate(records, 1):
            yield _row(number, record, columns)


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        raw = Path(source).open("rb")  # noqa: SIM115 -- closed below; only opening may raise ConfigError
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from error
    with raw:
        yield raw


def _ndjson(raw: BinaryIO) -> Iterator[dict[str, Any] | str]:
    for line in raw:
        if not line.strip():
            continue
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield f"not a JSON object: {type(error).__name__}"
            continue
        yield record if isinstance(record, dict) else "not a JSON object"


def _csv(raw: BinaryIO) -> Iterator[dict[str, Any] | str]:
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
    csv.field_size_limit(16_777_216)
    try:
        yield from csv.DictReader(text, strict=True)
    except csv.Error as error:
        yield f"not valid CSV from here on: {error}"


def _row(number: int, record: Mapping[str, Any] | str, columns: Columns) -> Row:
    fallback_id = f"row-{number}"
    if isinstance(record, str):
        return Row(number, fallback_id, None, record)
    found = {field: record.get(columns.of(field)) for field in FIELDS}
    values: dict[str, Any] = {f: value for f, value in found.items() if value not in (None, "")}
    row_id = values["id"] = str(values.get("id", fallback_id))
    if columns.of("body") not in record:
        return Row(
            number, values["id"], None, f"no column {columns.of('body')!r}; use --map body=…"
        )
    values.setdefault("body", "")
    if isinstance(tags := values.get("tags"), str):
        values["tags"] = [tag.strip() for tag in tags.split(",") if tag.strip()]
    try:
        ticket = msgspec.convert(values, Ticket)
    except msgspec.ValidationError as error:
        return Row(number, row_id, None, str(error))
    expected = record.get(columns.label)
    held_out = record.get("split") in (None, "", "test")
    return Row(number, row_id, ticket, expected=expected or None, held_out=held_out)
