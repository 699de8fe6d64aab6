"""A log that cannot be written loses lines, and nothing else: no half of one in front of another."""

from __future__ import annotations

import errno
import io
import json
import logging

import pytest

from classifier.logs import JSONLines, Lines


class AlmostFull(io.StringIO):
    """A disk that has room for `room` characters."""

    room = 0

    def write(self, text: str) -> int:
        fits = text[: self.room]
        super().write(fits)
        self.room -= len(fits)
        if len(fits) < len(text):
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(fits)


def _logger(stream: AlmostFull) -> logging.Logger:
    handler = Lines(stream)
    handler.setFormatter(JSONLines())
    log = logging.getLogger("tests.full_disk")
    log.handlers, log.propagate = [handler], False
    return log


def test_full_disk_tears_one_line_only() -> None:
    """What is written after a torn line stands on a line of its own, and the torn one is not ended."""
    disk = AlmostFull()
    log = _logger(disk)
    disk.room = 100
    for name in (
        "torn.because.it.is.longer.than.the.room.that.is.left.on.the.disk",
        "lost",
        "lost",
    ):
        log.warning(name)
    disk.room = 10_000
    log.warning("back")
    log.warning("again")
    torn, *whole = disk.getvalue().splitlines()
    assert "torn" in torn
    assert [json.loads(line)["message"] for line in whole if line] == ["back", "again"]


def test_lost_line_is_not_told_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """The library would write a traceback with the record's arguments to stderr: they may be private."""
    disk = AlmostFull()
    _logger(disk).warning("with %s", "an argument")
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")
    assert disk.getvalue() == ""
