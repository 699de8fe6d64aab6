"""A port of its own for operators: what is there is not on the other one, and the reverse."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tests.support.contract import assert_problem
from tests.support.house import write_config
from tests.support.process import serving
from tests.support.redis_server import free_port
from tests.support.upstream import Upstream


async def test_ops_routes_can_have_a_port_of_their_own(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """Metrics and readiness answer there, 404 on the tickets' port, where not even /schema names them."""
    port = free_port()
    config = write_config(tmp_path, short_model.url, long_model.url)
    async with (
        serving(config, tmp_path, {"CLASSIFIER_OPS_PORT": str(port)}) as service,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as ops,
    ):
        assert (await service.client.post("/classify", json={"body": "x"})).status_code == 200
        for target in ("/metrics", "/readyz"):
            assert_problem(await service.client.get(target), 404, "not-found")
            assert_problem(await service.client.delete(target), 404, "not-found")
            assert (await ops.get(target)).status_code == 200
        for target in ("/classify", "/", "/schema", "/console/state"):
            assert_problem(await ops.get(target), 404, "not-found")
        for client in (ops, service.client):
            assert (await client.get("/healthz")).text == "ok"
        paths = (await service.client.get("/schema/openapi.json")).json()["paths"]
        assert "/classify" in paths
        assert not {"/metrics", "/readyz"} & set(paths)
        counted = 'classifier_http_requests_total{route="/classify",status="2xx"} 1.0'
        assert counted in (await ops.get("/metrics")).text
        assert await service.stop() == 0
        assert service.events("service.starting")[0]["ops_url"] == f"http://127.0.0.1:{port}"
