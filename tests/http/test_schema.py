"""The description at /schema is valid, complete, and true of what the service does."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tests.support.contract import assert_problem
from tests.support.house import Service
from tests.support.upstream import Upstream, completion

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
JSON = {"Content-Type": "application/json"}
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance", "positive_data_acceptance",
    "missing_required_header", "unsupported_method", "allow_header_conformance",
)  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module")
async def document(shared_house: Service) -> dict[str, Any]:
    """The description as a client gets it."""
    answer = await shared_house.client.get("/schema/openapi.json")
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json"
    found: dict[str, Any] = answer.json()
    return found


async def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """It conforms to OpenAPI 3.1, and every reference leads somewhere."""
    assert document["openapi"] == "3.1.0"
    OPENAPI_31_VALIDATOR.validate(document)
    schemas = document["components"]["schemas"]
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        assert reference in schemas


async def test_document_lists_every_door(document: dict[str, Any]) -> None:
    """All doors and no others."""
    doors = {(path, method) for path, item in document["paths"].items() for method in item}
    assert doors == {
        ("/classify", "post"), ("/classify/batch", "post"), ("/healthz", "get"),
        ("/readyz", "get"), ("/metrics", "get"), ("/console/state", "get"),
        ("/feedback", "post"), ("/webhooks/{source}", "post"),
    }  # fmt: skip
    with_key = {path for path, item in document["paths"].items() if "security" in str(item)}
    assert with_key == {"/classify", "/classify/batch", "/console/state", "/feedback"}


async def test_classify_is_described(document: dict[str, Any]) -> None:
    """Ticket in; Answered, or a Problem for each status of the contract, out."""
    operation = document["paths"]["/classify"]["post"]
    ticket = operation["requestBody"]["content"]["application/json"]["schema"]
    assert ticket == {"$ref": "#/components/schemas/Ticket"}
    responses = operation["responses"]
    answered = responses.pop("200")["content"]["application/json"]["schema"]
    assert answered == {"$ref": "#/components/schemas/Answered"}
    assert set(responses) == {"400", "401", "403", "404", "413", "415", "422", "429", "503", "504"}
    for response in responses.values():
        schema = response["content"]["application/problem+json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Problem"}
        assert response["description"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"path", "cache", "X-Timeout-Ms", "X-Request-Id"}


async def test_records_are_described_field_by_field(document: dict[str, Any]) -> None:
    """The described fields are those of the contract, required where they always come."""
    schemas = document["components"]["schemas"]
    assert set(schemas["Ticket"]["properties"]) == {
        "id", "subject", "body", "language", "channel", "tags", "metadata",
    }  # fmt: skip
    assert schemas["Ticket"]["required"] == ["body"]
    assert schemas["Ticket"]["additionalProperties"] is False
    answered = set(schemas["Answered"]["properties"])
    assert answered - set(schemas["Answered"]["required"]) == {"escalated_from"}
    assert set(schemas["Problem"]["properties"]) == {
        "type", "title", "status", "detail", "request_id",
    }  # fmt: skip


async def test_answers_of_every_kind_conform(
    shared_house: Service, models: tuple[Upstream, Upstream]
) -> None:
    """From the model, the cache, an escalation, without usage; and every error: as described."""
    kinds = set()
    short, long = models
    for text, reply in (
        ("model", completion("billing")),
        ("model", completion("billing")),
        ("escalated", completion("no label at all")),
        ("without usage", completion("billing", usage=None, choices=[])),
        ("without logprobs", completion("other", service_tier="default")),
    ):
        short.answers(reply)
        answer = await shared_house.classify(text)  # the client holds it against the document
        kinds.add((answer.status_code, answer.json()["source"], "escalated_from" in answer.json()))
    assert kinds == {(200, "model", False), (200, "cache", False), (200, "model", True)}
    statuses = []
    for content, headers, query in (
        (b"{", JSON, {}),
        (b"{}", {}, {}),
        (b"{}", JSON, {}),
        (b'{"body":"x"}', JSON, {"path": "nope"}),
        (b" " * 300_000, JSON, {}),
        (b'{"body":"too late"}', {**JSON, "X-Timeout-Ms": "1"}, {}),
    ):
        found = await shared_house.client.post(
            "/classify", content=content, headers=headers, params=query
        )
        statuses.append(found.status_code)
    for model in (short, long):
        model.answers({}, status=500)
    statuses.append((await shared_house.classify("nobody")).status_code)
    for model in (short, long):
        model.respond = Upstream().respond
    assert statuses == [400, 415, 422, 404, 413, 504, 503]


async def test_contract_check_can_fail(shared_house: Service) -> None:
    """What holds every other test's answers against the document does notice a difference."""
    contract = shared_house.contract
    with pytest.raises(AssertionError, match="does not document 418"):
        contract.check("POST", "/classify", 418, b"{}")
    with pytest.raises(ValueError, match="label"):
        contract.check("POST", "/classify", 200, b'{"id": "1"}')
    with pytest.raises(ValueError, match="integer"):
        contract.conforms("Problem", {"type": "", "title": "", "status": "500", "detail": ""})
    with pytest.raises(AssertionError):
        contract.conforms("Problem", {"type": "", "title": "", "status": 1, "detail": "", "x": 1})


@pytest.mark.parametrize("target", ["/schema", "/"])
async def test_page_needs_nothing_from_elsewhere(shared_house: Service, target: str) -> None:
    """A page is one file: no script, style, font or image from another host."""
    page = (await shared_house.client.get(target)).text
    assert "<title>" in page
    assert (
        re.findall(r"""(?:src|href|url|import|action)\s*[=(]\s*["']?(?:https?:)?//""", page) == []
    )
    assert "http://" not in page
    assert "https://" not in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page) + re.findall(r'fetch\("([^"]+)"', page)
    assert links
    for link in links:
        assert (await shared_house.client.get(link)).status_code in (200, 405)  # it is there


async def test_unknown_schema_page_is_a_problem(shared_house: Service) -> None:
    """Not even below /schema is there an error page in HTML."""
    assert_problem(await shared_house.client.get("/schema/swagger"), 404, "not-found")


async def test_schemathesis_finds_nothing(
    shared_house: Service, models: tuple[Upstream, Upstream], tmp_path: Path
) -> None:
    """Some 250 generated requests: no 5xx but the documented 504, nothing undocumented."""
    report = tmp_path / "report.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli",
        "--config-file", str(ROOT / "tests/support/schemathesis.toml"),
        "run", f"{shared_house.url}/schema/openapi.json", "--no-color",
        "--generation-deterministic", "--phases", "examples,coverage,fuzzing",
        "--max-examples", "25", "--continue-on-failure", "--checks", ",".join(CHECKS),
        "--report", "json", "--report-json-path", str(report),
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks"},
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    found = json.loads(report.read_text())
    assert found["operations"]["tested"] == found["operations"]["total"] == 8
    assert 150 <= found["test_cases"]["generated"] <= 600
    assert len(models[0].calls) > 5
    assert await shared_house.metric("classifier_http_requests_total", status="5xx") < 60
