"""The answers' file: appended line by line, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from classifier.api.answers import Answered
from classifier.api.problems import Problem
from classifier.errors import ConfigError

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answered).decode


class Failed(Struct):
    """Stands in the output where an answer would."""

    id: str
    row: int
    error: Problem


class Output:
    """Promise: a written answer is never asked for again; failed and torn lines are."""

    def __init__(self, path: str | None, *, fresh: bool) -> None:
        self._done: Counter[str] = Counter()
        self.earlier: list[Answered] = []
        if path is None or path == "-":
            self._file: BinaryIO = sys.stdout.buffer
            return
        file = Path(path)
        try:
            if file.exists() and not fresh:
                self._take_up(file)
            self._file = file.open("wb" if fresh else "ab")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def is_done(self, row_id: str) -> bool:
        """Whether this occurrence of the id was answered in an earlier run."""
        if self._done[row_id] == 0:
            return False
        self._done[row_id] -= 1
        return True

    def write(self, record: Answered | Failed) -> None:
        self._file.write(_encode(record) + b"\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not sys.stdout.buffer:
            self._file.close()

    def _take_up(self, file: Path) -> None:
        """Keeps the answers of the earlier run; drops failures and a line torn by the interruption."""
        kept = file.with_name(file.name + ".kept")
        with file.open("rb") as old, kept.open("wb") as new:
            for line, answer in _answers(old):
                self.earlier.append(answer)
                self._done[answer.id] += 1
                new.write(line)
        kept.replace(file)


def _answers(file: BinaryIO) -> Iterator[tuple[bytes, Answered]]:
    for line in file:
        try:
            yield line, _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
