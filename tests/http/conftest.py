"""One house for all tests of a module, where no test leaves a trace that another one sees."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.house import Service, service, trusting, write_config
from tests.support.upstream import Upstream, served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models() -> AsyncIterator[tuple[Upstream, Upstream]]:
    """The scripted models behind `short` and `long`."""
    short, long = Upstream(), Upstream()
    async with served(short, short.port), served(long, long.port):
        yield short, long


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(
    models: tuple[Upstream, Upstream], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """The service over them, without Redis."""
    config = write_config(tmp_path_factory.mktemp("house"), models[0].url, models[1].url)
    async with service(trusting(config)) as running:
        yield running
