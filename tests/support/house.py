"""The real service over scripted models, with a config of the test's own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from classifier.app import create_app
from classifier.edge.protocol import EdgeProtocol
from classifier.settings import read_settings
from tests.support.contract import Contract, contract_of
from tests.support.redis_server import free_port
from tests.support.upstream import served

TAXONOMY = """
[taxonomy]
name = "test"
abstain = "other"
rules = ["Choose one."]
labels = [
  { name = "billing", description = "invoices", examples = ["charged twice"] },
  { name = "login", description = "cannot sign in", examples = ["reset mail"] },
  { name = "other", description = "anything else" },
]
"""
CONFIG = """
[server]
auth = "none"

[endpoints.fast]
base_url = "{short_url}"
[endpoints.slow]
base_url = "{long_url}"

[paths.short]
kind = "chat"
endpoint = "fast"
model = "ft:base:org::1"
prompt = "short.txt"
timeout_s = 1.0
static_tokens = 60
[paths.long]
kind = "chat"
endpoint = "slow"
model = "base"
prompt = "long.txt"
timeout_s = 1.0
static_tokens = 800

[prices]
as_of = "2026-11-22"
[[prices.models]]
model = "base"
input = 0.15
cached_input = 0.075
output = 0.60
[[prices.models]]
model = "ft:base"
input = 0.30
cached_input = 0.15
output = 1.20

[claims]
latency_s = {{ short = 0.1, long = 0.4 }}
"""


def write_config(folder: Path, short_url: str, long_url: str, more: str = "") -> Path:
    """A config file with two chat paths and its prompts; `more` is added at the end."""
    text = TAXONOMY + CONFIG.format(short_url=short_url, long_url=long_url) + more
    (folder / "short.txt").write_text("Answer one of: $label_names\n=== ticket ===\n$ticket\n")
    (folder / "long.txt").write_text(
        "$label_descriptions\n$rules\n$label_examples\nAnswer one of: $label_names\n"
        "=== ticket ===\n$ticket\n"
    )
    file = folder / "classifier.toml"
    file.write_text(text)
    return file


def edited(config: Path, old: str, new: str, times: int = -1) -> Path:
    """The config with `old` replaced; fails when there is none."""
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, times))
    return config


def trusting(config: Path) -> Path:
    """The config with breakers that never open: for models that fail on purpose, ticket by ticket."""
    text = config.read_text()
    for path in re.findall(r"^\[paths\.(\w+)\]$", text, re.MULTILINE):
        text += f"\n[paths.{path}.breaker]\nfailures_in_a_row = 1000\nmin_calls = 1000\n"
    config.write_text(text)
    return config


class Service:
    """A running service: its address, a client, and its metrics as a mapping."""

    def __init__(self, url: str, client: httpx2.AsyncClient, contract: Contract) -> None:
        self.url = url
        self.port = int(url.rsplit(":", 1)[1])
        self.client = client
        self.contract = contract

    async def classify(
        self, body: str, headers: dict[str, str] | None = None, **query: str
    ) -> httpx2.Response:
        return await self.client.post(
            "/classify", json={"body": body}, params=query, headers=headers or {}
        )

    async def metrics(self) -> dict[str, float]:
        """Sample name with labels -> value."""
        page = (await self.client.get("/metrics")).text
        lines = [line for line in page.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that carry these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = await self.metrics()
        return sum(
            value
            for sample, value in found.items()
            if sample.split("{")[0] == name and all(label in sample for label in wanted)
        )


@asynccontextmanager
async def service(config: Path, environ: dict[str, Any] | None = None) -> AsyncIterator[Service]:
    """`create_app` as in production, on a free port; ends with everything closed.

    Every JSON answer that the client receives is held against the OpenAPI document.
    """
    port = free_port()
    variables = {"CLASSIFIER_CONFIG": str(config), "CLASSIFIER_PORT": str(port), **(environ or {})}
    app = create_app(read_settings(variables), variables)
    url = f"http://127.0.0.1:{port}"
    contract = contract_of(app)
    hooks = {"response": [contract.hold]}
    async with (
        served(app, port, http=partial(EdgeProtocol, census=app.state.census), ws="none"),
        httpx2.AsyncClient(base_url=url, timeout=30, event_hooks=hooks) as client,
    ):
        yield Service(url, client, contract)
