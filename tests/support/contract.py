"""The published contract: what a test's client receives is held against /schema/openapi.json."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import httpx2
import jsonschema_rs
import msgspec
from litestar import Litestar

from classifier.api.docs import described

JSON = "application/json"
PROBLEM = "application/problem+json"
_PROBLEM_KEYS = {"type", "title", "status", "detail", "request_id"}


class Contract:
    """Every operation's documented statuses, media types and bodies."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._schema = lru_cache(maxsize=None)(self._validator)

    async def hold(self, response: httpx2.Response) -> None:
        """An event hook for a client: an answer that is not as documented fails the test."""
        media_type = response.headers.get("content-type", "")
        request = response.request
        if media_type in (JSON, PROBLEM) and request.method != "HEAD":
            await response.aread()
            self.check(request.method, request.url.path, response.status_code, response.content)

    def check(self, method: str, path: str, status: int, body: bytes) -> None:
        """One JSON answer; an unknown route or method is a problem too."""
        operations = self._operations(path.rstrip("/"))
        operation = operations.get(method.lower())
        if operation is None:
            # 400: a method that HTTP's parser does not know never becomes a request
            assert status in (400, 405 if operations else 404), (method, path, status)
            self.conforms("Problem", msgspec.json.decode(body))
            return
        assert str(status) in operation["responses"], f"{path} does not document {status}: {body!r}"
        ((_, content),) = operation["responses"][str(status)]["content"].items()
        self.conforms(content["schema"]["$ref"].rsplit("/", 1)[1], msgspec.json.decode(body))

    def _operations(self, path: str) -> dict[str, Any]:
        """What may be done at a path, its parameters filled in."""
        for template, operations in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                found: dict[str, Any] = operations
                return found
        return {}

    def check_line(self, line: dict[str, Any]) -> None:
        """One line of a batch's answer."""
        self.conforms("FailedLine" if "error" in line else "Answered", line)

    def conforms(self, name: str, value: Any) -> None:
        """`value` has the shape of a schema, and no key that the schema does not know."""
        self._schema(name).validate(value)
        assert set(value) <= set(self.document["components"]["schemas"][name]["properties"])

    def _validator(self, name: str) -> Any:
        schema = {
            "$ref": f"#/components/schemas/{name}",
            "components": self.document["components"],
        }
        return jsonschema_rs.validator_for(schema)


_contracts: dict[frozenset[str], Contract] = {}


def contract_of(app: Litestar) -> Contract:
    """The contract of any app of ours: the document depends on nothing but its routes."""
    routes = frozenset(route.path for route in app.routes)
    if routes not in _contracts:
        _contracts[routes] = Contract(described(app.openapi_schema.to_schema()))
    return _contracts[routes]


def assert_problem(response: httpx2.Response, status: int, slug: str, *words: str) -> None:
    """A problem+json with a stable type, a request id, and `words` in what it says to do."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), (
        response.text
    )
    assert_problem_body(response.content, status, slug, *words)
    assert response.json()["request_id"] == response.headers["x-request-id"]


def assert_problem_body(body: bytes, status: int, slug: str, *words: str) -> None:
    """The same for a body that came without a client library."""
    found = msgspec.json.decode(body)
    assert set(found) == _PROBLEM_KEYS
    assert found["type"] == f"urn:classifier:problem:{slug}"
    assert found["status"] == status
    assert found["title"]
    for word in words:
        assert word in found["detail"]
