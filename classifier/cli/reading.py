"""Tickets from NDJSON or CSV, columns mapped; a bad row is reported, not fatal."""

from __future__ import annotations

import asyncio
import codecs
import csv
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Literal

import msgspec
from msgspec import Struct

from classifier.errors import ConfigError
from classifier.records import Ticket

FIELDS = ("id", "subject", "body", "language", "channel", "tags")
Format = Literal["ndjson", "csv"]
_MAX_SHOWN = 200  # characters of a header line; without one it is the first ticket


class Row(Struct, frozen=True):
    """One input row: a ticket, or why there is none.

    `expected` is the right label, where the row has one and is held out (its `split` is `test`, or
    it has none).
    """

    number: int
    id: str
    ticket: Ticket | None
    fault: str = ""
    expected: str | None = None


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


@contextmanager
def read_rows(source: str, form: Format | None, columns: Columns) -> Iterator[Iterator[Row]]:
    """Rows of a file, or of standard input for `-`. Raises ConfigError for an unreadable file."""
    is_csv = form == "csv" or (form is None and source.lower().endswith(".csv"))
    file = _opened(source, is_text=is_csv)
    records = _csv(file) if is_csv else _ndjson(file)
    try:
        yield (_row(number, record, columns) for number, record in enumerate(records, 1))
    finally:
        if source != "-":  # a thread may still be waiting for it
            file.close()


async def at_hand(rows: Iterable[Row]) -> AsyncIterator[Row]:
    """Rows that are there already."""
    for row in rows:
        yield row


async def waited_for(rows: Iterator[Row], stopped: asyncio.Event) -> AsyncIterator[Row]:
    """Rows that may be long in coming: nothing waits with them, and a stop ends the waiting."""
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        while True:
            coming = _in_thread(rows)
            await asyncio.wait((coming, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done() or (row := coming.result()) is None:
                return
            yield row
    finally:
        stopping.cancel()


def _in_thread(rows: Iterator[Row]) -> asyncio.Future[Row | None]:
    """The next row. The thread is a daemon: one that still reads must not keep the process."""
    loop = asyncio.get_running_loop()
    coming: asyncio.Future[Row | None] = loop.create_future()

    def read() -> None:
        try:
            loop.call_soon_threadsafe(coming.set_result, next(rows, None))
        except Exception as error:  # noqa: BLE001 -- raised again by whoever waits
            loop.call_soon_threadsafe(coming.set_exception, error)

    threading.Thread(target=read, daemon=True).start()
    return coming


def _opened(source: str, *, is_text: bool) -> IO[Any]:
    """A text's bytes that are no UTF-8 become surrogates, so that they can be told."""
    is_file = source != "-"
    where = source if is_file else 0
    try:
        if is_text:
            encoding, errors = "utf-8-sig", "surrogateescape"
            return open(where, encoding=encoding, errors=errors, newline="", closefd=is_file)
        return open(where, "rb", closefd=is_file)
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from error


def _ndjson(lines: IO[bytes]) -> Iterator[dict[str, Any] | str]:
    for line in lines:
        text = line.removeprefix(codecs.BOM_UTF8).strip()
        if not text:
            continue
        try:
            record = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield f"not a JSON object: {error}"
            continue
        yield record if isinstance(record, dict) else "not a JSON object"


def _csv(lines: IO[str]) -> Iterator[dict[str, Any] | str]:
    csv.field_size_limit(16_777_216)
    try:
        yield from csv.DictReader(lines, strict=True)
    except csv.Error as error:
        yield f"not valid CSV from here on: {error}"


def _row(number: int, record: Mapping[str, Any] | str, columns: Columns) -> Row:
    fallback_id = f"row-{number}"
    if isinstance(record, str):
        return Row(number, fallback_id, None, record)
    found = {field: record.get(columns.of(field)) for field in FIELDS}
    values: dict[str, Any] = {f: value for f, value in found.items() if value not in (None, "")}
    fault = _fault(record, values, columns)
    row_id = values["id"] = _printable(values.get("id", fallback_id))
    if fault:
        return Row(number, row_id, None, fault)
    values.setdefault("body", "")
    if isinstance(tags := values.get("tags"), str):
        values["tags"] = [tag.strip() for tag in tags.split(",") if tag.strip()]
    try:
        ticket = msgspec.convert(values, Ticket)
    except msgspec.ValidationError as error:
        return Row(number, row_id, None, str(error))
    is_held_out = record.get("split") in (None, "", "test")
    expected = record.get(columns.label) if is_held_out else None
    return Row(number, row_id, ticket, expected=expected or None)


def _fault(record: Mapping[str, Any], values: Mapping[str, Any], columns: Columns) -> str:
    """What no ticket can be made of; empty for anything else."""
    body = columns.of("body")
    if body not in record:
        there = ", ".join(_printable(name) for name in record)[:_MAX_SHOWN]
        return f"no column {body!r}, there are: {there}; say which it is with --map body=COLUMN"
    if record[body] is None:
        return f"nothing in column {body!r}"
    try:
        "".join(value for value in values.values() if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        return "not UTF-8; convert the file, for example with iconv -f WINDOWS-1252 -t UTF-8"
    return ""


def _printable(value: Any) -> str:
    """The value's text; what was no UTF-8 becomes question marks."""
    return str(value).encode(errors="replace").decode()
