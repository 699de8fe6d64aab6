"""The doors for operators: alive, ready, metrics."""

from __future__ import annotations

from collections.abc import Callable

from litestar import MediaType, Response, get, head
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from msgspec import Struct

from classifier import __version__
from classifier.health import BreakerState, Health
from classifier.metrics import Metrics
from classifier.metrics.observer import CONTENT_TYPE


class Readiness(Struct):
    """`ready` is what a load balancer needs; the rest is for whoever asks why."""

    ready: bool
    draining: bool
    paths: dict[str, str]
    breakers: dict[str, BreakerState]
    cache: str
    config: str
    version: str


def alive_doors() -> list[HTTPRouteHandler]:
    """What a load balancer may ask on any port."""

    @get("/healthz", media_type=MediaType.TEXT, summary="Alive", tags=["operations"])
    async def healthz() -> str:
        """Answers as long as the process does; never asks Redis or a model."""
        return "ok"

    # Load balancers often ask for the head alone; the API's description need not say so twice.
    @head("/healthz", media_type=MediaType.TEXT, include_in_schema=False)
    async def healthz_head() -> None: ...

    return [healthz, healthz_head]


def ops_doors(
    health: Health, metrics: Metrics, draining: Callable[[], bool]
) -> list[HTTPRouteHandler]:
    not_ready = ResponseSpec(
        Readiness, description="No path can answer, or ending", generate_examples=False
    )

    @get(
        "/readyz",
        summary="Ready for tickets",
        tags=["operations"],
        responses={503: not_ready},
    )
    async def readyz() -> Response[Readiness]:
        """200 when at least one path can answer and the service is not ending, otherwise 503."""
        ending = draining()
        found = Readiness(
            health.ready and not ending,
            ending,
            health.paths(),
            health.breakers(),
            health.cache(),
            health.config(),
            __version__,
        )
        return Response(found, status_code=200 if found.ready else 503)

    @head("/readyz", include_in_schema=False)
    async def readyz_head() -> Response[None]:
        return Response(None, status_code=200 if health.ready and not draining() else 503)

    @get("/metrics", media_type=CONTENT_TYPE, summary="Prometheus metrics", tags=["operations"])
    async def metrics_page() -> Response[bytes]:
        """Prometheus text format 0.0.4."""
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return [readyz, readyz_head, metrics_page]
