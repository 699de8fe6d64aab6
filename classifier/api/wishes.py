"""What a request asks for beside its ticket: path, cache, time."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Any

from litestar import Request

from classifier.api.context import ARRIVED
from classifier.config.schema import Server
from classifier.errors import Malformed, NotAllowed
from classifier.pipeline import Wish
from classifier.records import Door

_WHOLE_NUMBER = re.compile(r"0{0,9}[1-9][0-9]{0,8}")
_PARAMETERS = {"path", "cache"}


def read_wish(request: Request[Any, Any, Any], door: Door, server: Server) -> Wish:
    """A ticket's time runs from its request's first bytes, its body's way included.

    Raises Malformed for what cannot be read, NotAllowed for a forced path that is switched off.
    """
    arrived = _arrived(request) if door == "classify" else None  # a line's time runs from its turn
    query = request.query_params
    if unknown := set(query) - _PARAMETERS:
        raise Malformed(f"unknown query parameter {min(unknown)[:64]!r}; there are: path, cache")
    path = query.get("path")
    if path is not None and not server.allow_forced_path:
        raise NotAllowed("`?path=` is switched off: [server] allow_forced_path = false")
    cache = query.get("cache", "on")
    if cache not in ("on", "off"):
        raise Malformed("`?cache=` takes on or off")
    default_s = server.batch_timeout_s if door == "batch" else server.timeout_s
    timeout_s = _timeout_s(request, default_s, server.max_timeout_s)
    return Wish(door, timeout_s, path, cache == "on", arrived)


def _arrived(request: Request[Any, Any, Any]) -> float:
    """When the edge read the request's first bytes; now, behind another server."""
    state: dict[str, Any] = request.scope.get("state", {})
    return float(state.get(ARRIVED) or perf_counter())


def _timeout_s(request: Request[Any, Any, Any], default_s: float, max_s: float) -> float:
    """X-Timeout-Ms in seconds, capped; the door's default without it."""
    value = request.headers.get("x-timeout-ms")
    if value is None:
        return min(default_s, max_s)
    if not _WHOLE_NUMBER.fullmatch(value):
        raise Malformed("X-Timeout-Ms takes a whole number of milliseconds from 1 to 999999999")
    return min(int(value) / 1_000, max_s)
