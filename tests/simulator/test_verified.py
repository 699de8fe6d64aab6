"""`verify` against simulated models, as a server: one that reads, and one that obeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from classifier.config.load import SHIPPED
from tests.support.commands import called

CONFIG = """
[endpoints.simulator]
base_url = "{address}/v1"
[paths.short]
kind = "chat"
endpoint = "simulator"
model = "ft:a"
price = "ft:gpt-4o-mini"
prompt = "prompts/short.txt"
timeout_s = 20.0
[paths.naive]
kind = "decisions"
endpoint = "simulator"
model = "naive"
price = "gpt-6-luna/decisions"
prompt = "prompts/decide.txt"
timeout_s = 20.0
"""


def test_verify_tells_who_obeys(
    address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same 115 orders: the reader follows few, the naive model nearly all; both are simulated."""
    shipped = ["taxonomy.toml", "prices.toml"]
    for name in [*shipped, "prompts/short.txt", "prompts/decide.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    config = tmp_path / "classifier.toml"
    config.write_text(f"include = {json.dumps(shipped)}\n" + CONFIG.format(address=address))
    assert called("verify", "--config", config, "--json", "--concurrency", "16") == 1
    found = json.loads(capfd.readouterr().out)
    assert found["simulated"] is True
    short, naive = found["paths"]
    checks = {one["check"]: one for one in short["findings"]}
    assert checks["static tokens"]["verdict"] == checks["boundaries"]["verdict"] == "ok"
    assert checks["model"]["detail"] == "ft:a answers with this key"
    assert len(short["steered_cases"]) < 25
    assert len(naive["steered_cases"]) > 95
    hidden = next(one for one in naive["injections"] if one["family"] == "invisible")
    assert (hidden["cases"], hidden["steered"]) == (7, 1)
