"""A real Chromium, and the service that it looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from k8s.monitoring.drawing.browser import Browser, found, opened
from tests.support.beside import beside
from tests.support.house import Service, service, write_config
from tests.support.upstream import Upstream, completion, served

FIRST, SECOND = "first-key-0123456789", "schlüssel-☃-0123456789"
LOCKED = {"CLASSIFIER_AUTH": "bearer", "CLASSIFIER_API_KEYS": f"{FIRST},{SECOND}"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests; every page has a profile of its own."""
    if found() is None:
        # The README promises tests that need only Python; CI installs it and so skips nothing.
        pytest.skip("no chromium on the PATH (Debian: apt-get install chromium)")
    with opened() as running:
        yield running


@asynccontextmanager
async def house(folder: Path, environ: dict[str, Any] | None = None) -> AsyncIterator[Service]:
    """The service over two models that say to be simulated."""
    short, long = Upstream(), Upstream()
    for model in (short, long):
        model.answers(completion("billing"), headers={"x-simulated": "1"})
    config = write_config(folder, short.url, long.url)
    async with (
        served(short, short.port),
        served(long, long.port),
        service(config, environ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Without keys."""
    with beside(lambda: house(tmp_path_factory.mktemp("open"))) as running:
        yield running


@pytest.fixture(scope="module")
def locked_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With two keys, one of them not ASCII."""
    with beside(lambda: house(tmp_path_factory.mktemp("locked"), LOCKED)) as running:
        yield running
