"""The answers' file: appended line by line, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct, structs

from classifier.api.answers import Answered
from classifier.api.problems import Problem
from classifier.cli.reading import Row
from classifier.errors import ConfigError

_encode = msgspec.json.Encoder().encode


class AnsweredRow(Answered, kw_only=True):
    """An answer with the number of its row: ids may come up more than once."""

    row: int


class FailedRow(Struct):
    """Stands in the output where an answer would."""

    id: str
    row: int
    error: Problem


_answered = msgspec.json.Decoder(AnsweredRow).decode
_failed = msgspec.json.Decoder(FailedRow).decode


class Output:
    """Promise: a row whose answer is in the file is never asked again; a failed or torn one is."""

    def __init__(
        self, path: str | None, *, fresh: bool, earlier: Callable[[Answered], None]
    ) -> None:
        """`earlier` is told every answer that is there already. Raises ConfigError."""
        self._done: dict[int, tuple[str, str]] = {}  # row: id and label
        self._name = path or "standard output"
        if path is None or path == "-":
            self._file: BinaryIO = open(sys.stdout.fileno(), "wb", closefd=False)  # noqa: SIM115
            return
        file = Path(path)
        try:
            if file.is_file() and not fresh:  # a device holds no answers
                self._take_up(file.resolve(), earlier)
            self._file = file.open("wb" if fresh else "ab")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def earlier_label(self, row: Row) -> str | None:
        """The label that an earlier run wrote for this row. Raises ConfigError for another input's."""
        if row.number not in self._done:
            return None
        row_id, label = self._done.pop(row.number)
        if row_id != row.id:
            raise ConfigError(
                f"{self._name} holds answers to another input: its row {row.number} is {row_id!r}, "
                f"here it is {row.id!r}; choose another --output, or start over with --fresh"
            )
        return label

    def write(self, row: Row, found: Answered | Problem) -> None:
        """Appends one line. Raises ConfigError when it cannot be written."""
        line: AnsweredRow | FailedRow
        if isinstance(found, Answered):
            line = AnsweredRow(**structs.asdict(found), row=row.number)
        else:
            line = FailedRow(row.id, row.number, found)
        try:
            self._file.write(_encode(line) + b"\n")
            self._file.flush()
        except OSError as error:
            raise ConfigError(f"{self._name}: {error.strerror}") from error

    def close(self) -> None:
        with suppress(OSError):  # `write` has told it
            self._file.close()

    def _take_up(self, file: Path, earlier: Callable[[Answered], None]) -> None:
        """Keeps the answers of the earlier run; drops failures and a line torn by the interruption."""
        kept = file.with_name(file.name + ".kept")
        try:
            with file.open("rb") as old, kept.open("wb") as new:
                for answer in _answers(old, file):
                    earlier(answer)
                    self._done[answer.row] = (answer.id, answer.label)
                    new.write(_encode(answer) + b"\n")
            shutil.copymode(file, kept)
            kept.replace(file)
        finally:
            kept.unlink(missing_ok=True)


def _answers(lines: BinaryIO, file: Path) -> Iterator[AnsweredRow]:
    """Raises ConfigError for a file that this command has not written: it is not ours to change."""
    for number, line in enumerate(lines, 1):
        try:
            yield _answered(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if not _is_dispensable(line):
                raise ConfigError(
                    f"{file}:{number} is no answer of this command, so the file is left as it is; "
                    "choose another --output, or replace it with --fresh"
                ) from None


def _is_dispensable(line: bytes) -> bool:
    """A failure, or the last line of a run that was killed in the middle of it."""
    decode = _failed if line.endswith(b"\n") else msgspec.json.decode
    try:
        decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return decode is not _failed
    return decode is _failed
