"""The tables of the server's edge: what one connection may take, and how the service ends."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from classifier.config.section import Seconds, Section


class Connections(Section, frozen=True, kw_only=True):
    """What one client may take of the server before it has sent a whole request."""

    receive_timeout_s: Annotated[
        Seconds,
        Meta(
            description="limit for a request's way here; a body that keeps coming gets a second "
            "more for every 4 KiB"
        ),
    ] = 10.0
    keepalive_s: Annotated[
        float,
        Meta(
            ge=1.0,
            le=3_600.0,
            description="how long a connection may idle after an answer: longer than the proxy's own limit",
        ),
    ] = 75.0
    most: Annotated[
        int,
        Meta(
            ge=4,
            le=65_536,
            description="connections open at once; above it those that idle or dawdle the longest are closed",
        ),
    ] = 200
    max_head_bytes: Annotated[
        int, Meta(ge=1_024, le=1_048_576, description="largest request line and headers together")
    ] = 16_384
