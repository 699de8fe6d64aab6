"""Commands over two scripted models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Command, Result, called, patient, threaded
from tests.support.house import write_config
from tests.support.upstream import Upstream


@pytest.fixture
def short() -> Iterator[Upstream]:
    """The scripted model behind path `short`."""
    with threaded(Upstream()) as upstream:
        yield upstream


@pytest.fixture
def long() -> Iterator[Upstream]:
    """The scripted model behind path `long`."""
    with threaded(Upstream()) as upstream:
        yield upstream


@pytest.fixture
def config(tmp_path: Path, short: Upstream, long: Upstream) -> Path:
    """A config over both scripted models."""
    return patient(write_config(tmp_path, short.url, long.url))


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: `command("check", CLASSIFIER_CONFIG="…")`."""

    def run(*arguments: str | Path, **variables: str) -> Result:
        capfd.readouterr()
        code = called(*arguments, **variables)
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def classify(command: Command, config: Path) -> Command:
    """`classify` with both scripted models: `classify(file, "-o", output)`."""

    def run(*arguments: str | Path, **variables: str) -> Result:
        return command("classify", "--config", config, *arguments, **variables)

    return run
