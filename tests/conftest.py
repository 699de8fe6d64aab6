"""Real stand-ins for every test: scripted models, a real Redis, the real service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.house import Service, service, write_config
from tests.support.redis_server import RedisServer
from tests.support.upstream import Upstream, served


def pytest_addoption(parser: pytest.Parser) -> None:
    """`dev test tests/… --long`: the same tests with many more rounds."""
    parser.addoption("--long", action="store_true", help="long forms of the tests that have one")


@pytest.fixture
async def short_model() -> AsyncIterator[Upstream]:
    """The scripted model behind path `short`."""
    upstream = Upstream()
    async with served(upstream, upstream.port):
        yield upstream


@pytest.fixture
async def long_model() -> AsyncIterator[Upstream]:
    """The scripted model behind path `long`."""
    upstream = Upstream()
    async with served(upstream, upstream.port):
        yield upstream


@pytest.fixture
def config_file(tmp_path: Path, short_model: Upstream, long_model: Upstream) -> Path:
    """A config over both scripted models, to be edited by the test."""
    return write_config(tmp_path, short_model.url, long_model.url)


@pytest.fixture
async def house(config_file: Path) -> AsyncIterator[Service]:
    """The service over both scripted models, without Redis."""
    async with service(config_file) as running:
        yield running


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A real server of the test's own."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
