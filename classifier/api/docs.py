"""The OpenAPI description at /schema: what the framework knows, and what it cannot see.

The ticket doors read their own bytes, so their bodies, parameters and errors are described here,
from the same records that the code decodes and encodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Router
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin

from classifier import __version__
from classifier.api.answers import Answered
from classifier.api.batch import FailedLine
from classifier.api.feedback import Corrected, Feedback
from classifier.api.problems import MEDIA_TYPE, Problem
from classifier.records import Ticket

_PAGE = Path(__file__).parent / "schema.html"
_PROBLEMS = {
    "400": "Malformed: bytes, header or parameter cannot be read",
    "401": "No key, or a wrong one",
    "403": "Switched off by the config",
    "404": "No such path",
    "413": "Larger than the limit",
    "415": "Wrong Content-Type, charset or Content-Encoding",
    "422": "Readable, but not a ticket",
    "429": "More tickets than can be answered in time; try again after Retry-After",
    "503": "No path can answer; try again after Retry-After",
    "504": "The time budget passed",
}
_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "path",
        "in": "query",
        "description": "Force this path, past the routes.",
        "schema": {"type": "string"},
    },
    {
        "name": "cache",
        "in": "query",
        "description": "`off` neither reads nor writes the cache.",
        "schema": {"type": "string", "enum": ["on", "off"], "default": "on"},
    },
    {
        "name": "X-Timeout-Ms",
        "in": "header",
        "description": "Time budget of the ticket in milliseconds, capped by the config.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Comes back in the answer and in the log.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    },
]


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Ticket classifier",
        version=__version__,
        path="/schema",
        use_handler_docstrings=True,
        openapi_router=Router(
            "/schema", route_handlers=[], include_in_schema=False, before_request=_refuse_unknown
        ),
        render_plugins=[_Page(path="/"), _Document()],
    )


async def _refuse_unknown(request: Request[Any, Any, Any]) -> None:
    """The framework answers HTML to unknown pages below /schema; ours are problems."""
    if request.path_params:
        raise NotFoundException


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return self.render_json(request, described(openapi_schema))


class _Page(OpenAPIRenderPlugin):
    """One self-contained page: no script or style from elsewhere."""

    def render(self, *_: Any, **__: Any) -> bytes:
        return _PAGE.read_bytes()


def described(document: dict[str, Any]) -> dict[str, Any]:
    """The framework's document with the ticket doors' bodies, parameters, errors and keys added."""
    _, schemas = msgspec.json.schema_components(
        [Ticket, Answered, Problem, FailedLine, Feedback, Corrected],
        ref_template="#/components/schemas/{name}",
    )
    components = dict(document.get("components", {}))
    components["schemas"] = {**components.get("schemas", {}), **schemas}
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    paths = {path: dict(item) for path, item in document["paths"].items()}
    one = {
        "schema": _ref("Ticket"),
        "example": {"subject": "Invoice", "body": "I was charged twice."},
    }
    _complete(paths["/classify"], "application/json", one, _ref("Answered"))
    line = {"type": "string", "description": "one JSON object a line"}
    _complete(paths["/classify/batch"], "application/x-ndjson", {"schema": line}, line)
    _complete_feedback(paths["/feedback"])
    _complete_webhook(paths["/webhooks/{source}"])
    if "/console/state" in paths:
        _lock(paths["/console/state"], "get", "401")
    return {**document, "components": components, "paths": paths}


def _complete(
    item: dict[str, Any], media_type: str, content: dict[str, Any], answer: dict[str, Any]
) -> None:
    answers = {"200": {"description": "Answered", "content": {media_type: {"schema": answer}}}}
    item["post"] = {
        **item["post"],
        "parameters": _PARAMETERS,
        "requestBody": {"required": True, "content": {media_type: content}},
        "responses": answers,
    }
    _lock(item, "post", *_PROBLEMS)


def _complete_feedback(item: dict[str, Any]) -> None:
    correction = {"schema": _ref("Feedback"), "example": {"id": "T-1", "label": "billing"}}
    answer = {"application/json": {"schema": _ref("Corrected")}}
    item["post"] = {
        **item["post"],
        "requestBody": {"required": True, "content": {"application/json": correction}},
        "responses": {"200": {"description": "Written down", "content": answer}},
    }
    _lock(item, "post", "400", "401", "404", "413", "415", "422", "503")


def _complete_webhook(item: dict[str, Any]) -> None:
    """What it reads and answers is the vendor's, except for refusals."""
    item.pop("head", None)  # only answers what vendors probe an address with
    event = {"schema": {"type": "string", "description": "as the vendor sends it"}}
    item["post"] = {
        **item["post"],
        "requestBody": {"required": True, "content": {"application/json": event}},
        "responses": {
            "200": {"description": "The event is stored", "content": {"text/plain": {}}},
            **_problems("400", "401", "404", "413"),
            "503": {"description": "Send it again later", "content": {"text/plain": {}}},
        },
    }


def _lock(item: dict[str, Any], method: str, *statuses: str) -> None:
    """The operation wants a key where the config says so, and can fail in these ways."""
    operation = item[method]
    item[method] = {
        **operation,
        "responses": {**operation["responses"], **_problems(*statuses)},
        "security": [{"bearer": []}, {}],
    }


def _problems(*statuses: str) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": _ref("Problem")}}
    return {status: {"description": _PROBLEMS[status], "content": content} for status in statuses}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
