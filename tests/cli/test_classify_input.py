"""What `classify` reads: NDJSON, CSV, columns by other names, and rows that are no tickets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from classifier.cli.reading import Columns, read_rows
from tests.support.commands import Command, write_tickets
from tests.support.upstream import Upstream

BOM = b"\xef\xbb\xbf"


def test_answers_one_line_per_ticket(classify: Command, tmp_path: Path) -> None:
    """Standard output holds one JSON answer per row, with the row's id and number; no more."""
    file = write_tickets(
        tmp_path / "in.jsonl",
        {"id": "a", "subject": "Hi", "body": "charged twice", "tags": ["vip"], "language": "en"},
        {"body": "no id, and a field that is no ticket's", "priority": 3},
    )
    result = classify(file, "--concurrency", "1")
    assert result.code == 0
    assert [(line["row"], line["id"], line["label"]) for line in result.answers] == [
        (1, "a", "billing"),
        (2, "row-2", "billing"),
    ]
    assert {"confidence", "path", "source", "usage", "cost_usd", "latency_ms"} <= set(
        result.answers[0]
    )


def test_table_goes_to_stderr(classify: Command, tmp_path: Path) -> None:
    """Answers can be piped on; what is for people stands on stderr."""
    result = classify(write_tickets(tmp_path / "in.jsonl", {"body": "charged twice"}))
    assert "p95 ms" in result.err
    assert "1 tickets answered, 0 failed, 100 tokens in, 2 out, $0.0000324" in result.err


def test_model_sees_subject_and_body(classify: Command, tmp_path: Path, short: Upstream) -> None:
    """Both parts of a ticket reach the model."""
    classify(write_tickets(tmp_path / "in.jsonl", {"subject": "Help", "body": "charged twice"}))
    assert short.calls[0].ticket == "Subject: Help\n\ncharged twice"


def test_ndjson_may_begin_with_a_mark(classify: Command, tmp_path: Path) -> None:
    """Windows editors put a byte order mark in front; the first ticket is not lost to it."""
    file = tmp_path / "in.jsonl"
    file.write_bytes(BOM + b'{"body": "charged twice"}\n\n{"body": "again"}\n')
    assert [line["row"] for line in classify(file).answers] == [1, 2]


def test_spreadsheet_export_is_read(classify: Command, tmp_path: Path, short: Upstream) -> None:
    """CSV as Excel writes it: a mark, CRLF, quoted commas, quotes and line breaks."""
    file = tmp_path / "in.CSV"
    file.write_bytes(BOM + b'id,body,tags\r\n7,"He said ""no"",\r\ntwice","vip, eu"\r\n')
    result = classify(file)
    assert [line["id"] for line in result.answers] == ["7"]
    assert short.calls[0].ticket == 'He said "no",\ntwice'


def test_columns_may_have_other_names(classify: Command, tmp_path: Path, short: Upstream) -> None:
    """`--map FIELD=COLUMN` reads an export as it is."""
    file = tmp_path / "in.csv"
    file.write_text("Nr,Betreff,Text\n9,Rechnung,zweimal abgebucht\n", encoding="utf-8")
    result = classify(file, "--map", "id=Nr", "--map", "subject=Betreff", "--map", "body=Text")
    assert [line["id"] for line in result.answers] == ["9"]
    assert short.calls[0].ticket == "Subject: Rechnung\n\nzweimal abgebucht"


def test_format_may_be_named(classify: Command, tmp_path: Path) -> None:
    """A CSV file without the suffix is one when it is said so."""
    file = tmp_path / "export.txt"
    file.write_text("body\ncharged twice\n", encoding="utf-8")
    assert classify(file, "--format", "csv").code == 0


def test_missing_column_says_how_to_map(classify: Command, tmp_path: Path, short: Upstream) -> None:
    """A file without a body column costs nothing and says which columns there are."""
    file = tmp_path / "in.csv"
    file.write_text("id,text\n1,charged twice\n", encoding="utf-8")
    result = classify(file)
    assert result.code == 1
    assert result.answers[0]["error"]["detail"] == (
        "no column 'body', there are: id, text; say which it is with --map body=COLUMN"
    )
    assert short.calls == []


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"charged twice", "not a JSON object"),
    "no object": (b'["charged twice"]', "not a JSON object"),
    "deep": (b"[" * 5_000, "not a JSON object"),
    "no body": (b'{"subject": "charged twice"}', "no column 'body'"),
    "null body": (b'{"body": null}', "nothing in column 'body'"),
    "number": (b'{"body": 5}', "Expected `str`, got `int`"),
    "long id": (b'{"body": "b", "id": "' + b"x" * 300 + b'"}', "length <= 256"),
    "not UTF-8": (b'{"body": "Geb\xfchr"}', "not a JSON object"),
    "half a character": (b'{"body": "\\ud83d"}', "not a JSON object"),
}


def test_bad_rows_are_reported_in_place(classify: Command, tmp_path: Path, short: Upstream) -> None:
    """Every row that is no ticket says why at its place; the others are answered; exit code 1."""
    file = tmp_path / "in.jsonl"
    lines = [line for line, _ in BAD_LINES.values()]
    file.write_bytes(b"\n".join([b'{"body": "first"}', *lines, b'{"body": "last"}']))
    result = classify(file, "--concurrency", "1")
    assert result.code == 1
    assert [line["row"] for line in result.answers] == list(range(1, len(lines) + 3))
    faults = [line["error"]["detail"] for line in result.answers[1:-1]]
    expected = [fault for _, fault in BAD_LINES.values()]
    assert [e for e, found in zip(expected, faults, strict=True) if e not in found] == []
    assert len(short.calls) == 2
    assert f"2 tickets answered, {len(lines)} failed" in result.err
    assert f"failed {len(lines)} times: Not a ticket; the first: not a JSON object" in result.err


BAD_CSV: dict[str, tuple[bytes, str]] = {
    "short": (b"id,body\n1\n", "nothing in column 'body'"),
    "other encoding": (b"id,body\n1,Geb\xfchr\n", "not UTF-8"),
    "id in another encoding": (b"id,body\n\xfc,text\n", "not UTF-8"),
    "open quote": (b'id,body\n1,"never closed\n', "not valid CSV from here on"),
    "header in another encoding": (b"id,Ger\xe4t\n1,text\n", "there are: id, Ger?t"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv_is_told_not_guessed(name: str, tmp_path: Path) -> None:
    """Text that is not what it should be is reported, never sent on as question marks."""
    content, fault = BAD_CSV[name]
    file = tmp_path / "in.csv"
    file.write_bytes(content)
    with read_rows(str(file), None, Columns({})) as rows:
        (row,) = rows
    assert row.ticket is None
    assert fault in row.fault
    (row.id + row.fault).encode()  # it can be written


def test_label_counts_held_out_rows_only(classify: Command, tmp_path: Path) -> None:
    """Rows that a model may have been trained on say nothing about how good it is."""
    file = write_tickets(
        tmp_path / "in.jsonl",
        {"body": "one", "intent": "billing", "split": "test"},
        {"body": "two", "intent": "login", "split": "test"},
        {"body": "three", "intent": "billing"},
        {"body": "four", "intent": "billing", "split": "train"},
        {"body": "five"},
    )
    result = classify(file, "--label", "intent")
    assert "labels right: 2 of 3 held-out tickets (66.7 %)" in result.err


def test_limit_takes_the_first_rows(classify: Command, tmp_path: Path, short: Upstream) -> None:
    """A trial run costs what it says."""
    file = write_tickets(tmp_path / "in.jsonl", *({"body": f"number {n}"} for n in range(9)))
    result = classify(file, "--limit", "3")
    assert [line["row"] for line in result.answers] == [1, 2, 3]
    assert len(short.calls) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl: No such file or directory"),
        (["."], ".: Is a directory"),
        (["in.jsonl", "-o", "nowhere/out.jsonl"], "nowhere/out.jsonl: No such file or directory"),
        (["in.jsonl", "-o", "/dev/full"], "/dev/full: No space left on device"),
        (["in.jsonl", "--map", "body"], "--map body: write FIELD=COLUMN; fields: id, subject"),
        (["in.jsonl", "--map", "text=body"], "--map text=body: write FIELD=COLUMN"),
        (["in.jsonl", "--path", "slow"], "there is no path 'slow'; paths: short, long"),
        (["in.jsonl", "--service", "localhost:8000"], "write http://HOST:PORT"),
        (["in.jsonl", "--service", "http://host:x"], "--service http://host:x: Invalid port"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str],
    message: str,
    classify: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot work is told in one line that says what to do: exit code 2, no traceback."""
    monkeypatch.chdir(tmp_path)
    write_tickets(tmp_path / "in.jsonl", {"body": "charged twice"})
    result = classify(*arguments)
    assert result.code == 2
    assert result.err.startswith("classifier: ")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_counts_are_whole_numbers(number: str, classify: Command, tmp_path: Path) -> None:
    """An option that counts takes 1 or more."""
    result = classify(tmp_path / "in.jsonl", "--concurrency", number)
    assert result.code == 2
    assert "is not a whole number from 1 on" in result.err


def test_values_keep_their_meaning(tmp_path: Path) -> None:
    """A number may be an id, and a cell may hold several tags."""
    record: dict[str, Any] = {"id": 12, "body": "b", "tags": "vip, eu,", "language": "de"}
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(record), encoding="utf-8")
    with read_rows(str(file), None, Columns({})) as rows:
        (row,) = rows
    assert row.ticket is not None
    assert (row.id, row.ticket.tags, row.ticket.language) == ("12", ("vip", "eu"), "de")
