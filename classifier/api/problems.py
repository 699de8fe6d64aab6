"""Errors as RFC 9457 problem+json with a stable `type` and what to do about it."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from msgspec import Struct

from classifier.api.context import request_id
from classifier.errors import (
    CallerError,
    ClassifierError,
    Ending,
    NotAuthenticated,
    Overloaded,
)
from classifier.logs import event, log

MEDIA_TYPE = "application/problem+json"
_FRAMEWORK = {
    404: ("not-found", "Not found", "there is nothing here; the API is described at /schema"),
    405: ("method-not-allowed", "Method not allowed", "see /schema for the methods of this path"),
    413: ("too-large", "Too large", "the body is too large"),
}


class Problem(Struct, omit_defaults=True):
    """`type` is a stable name, `detail` says what to do, `request_id` finds the log line."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""


def problem(error: ClassifierError, request_id: str = "") -> Problem:
    return Problem(_type(error.slug), error.title, error.status, error.detail, request_id)


def failed(error: ClassifierError, request_id: str) -> Problem:
    """The problem, logged: the caller's own faults as information, ours as errors.

    Shed load is counted and told once when it begins, and so is the end: a line for each would
    cost more than the refusal itself.
    """
    if isinstance(error, Overloaded | Ending):
        return problem(error, request_id)
    level = logging.INFO if isinstance(error, CallerError) else logging.ERROR
    event(level, "ticket.failed", request_id=request_id, error=error.slug, status=error.status)
    return problem(error, request_id)


def crashed(error: Exception, request_id: str) -> Problem:
    """A bug of ours: logged by class and place, told to the caller without either."""
    log.error("request.crashed", exc_info=error, extra={"fields": {"request_id": request_id}})
    detail = "an unexpected error; report the request id"
    return Problem(_type("internal"), "Internal error", 500, detail, request_id)


def handlers() -> ExceptionHandlersMap:
    return {
        ClassifierError: _ours,
        HTTPException: _frameworks,
        Exception: _unexpected,
    }


def _ours(request: Request[Any, Any, Any], error: ClassifierError) -> Response[bytes]:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return _response(failed(error, request_id(request.scope)), headers)


def _frameworks(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = error.status_code
    slug, title, detail = _FRAMEWORK.get(status, ("refused", "Refused", "see /schema"))
    found = Problem(_type(slug), title, status, detail, request_id(request.scope))
    return _response(found, {**(error.headers or {})})


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return _response(crashed(error, request_id(request.scope)), {})


def _response(found: Problem, headers: dict[str, str]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(found),
        status_code=found.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def _type(slug: str) -> str:
    return f"urn:classifier:problem:{slug}"
