"""The real doors over a pipeline with a bug: what shows when something of ours breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from litestar import Litestar

from classifier.api.auth import Doorkeeper
from classifier.api.context import stamp
from classifier.api.problems import handlers
from classifier.api.tickets import ticket_doors
from classifier.assembly import Assembly
from classifier.config.load import load
from classifier.keys import KeyRing
from classifier.paths.pool import EndpointPool
from classifier.pipeline import Pipeline, Wish
from classifier.records import Classification, Ticket
from tests.support.parts import SECRET, Remembering, admission
from tests.support.redis_server import free_port
from tests.support.upstream import served


class BuggyPipeline(Pipeline):
    """Breaks on tickets that say so, with the ticket in the error, as careless code would."""

    async def classify(self, ticket: Ticket, wish: Wish) -> Classification:
        if "crash" in ticket.text:
            raise ValueError(f"bug near {ticket!r}")
        if "forget" in ticket.text:
            asyncio.ensure_future(self._forgotten(ticket))  # noqa: RUF006 -- that is the bug
        return await super().classify(ticket, wish)

    async def _forgotten(self, ticket: Ticket) -> None:
        raise ValueError(f"bug beside {ticket!r}")


@asynccontextmanager
async def crashing_service(config: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the ticket doors over a BuggyPipeline."""
    endpoints = EndpointPool({})
    pipeline = BuggyPipeline(
        Assembly(load(config, {}), endpoints.open), None, SECRET, Remembering(), admission()
    )
    app = Litestar(
        route_handlers=ticket_doors(
            pipeline, Doorkeeper("none", KeyRing(), "127.0.0.1"), log_tickets=True
        ),
        exception_handlers=handlers(),
        before_send=[stamp(lambda _route, _status: None)],
        openapi_config=None,
        logging_config=None,
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with served(app, port), httpx2.AsyncClient(base_url=url, timeout=30) as client:
        yield client
    await pipeline.aclose()
    await endpoints.aclose()
