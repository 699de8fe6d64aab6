"""Whatever a ticket orders, only labels leave: the whole corpus through the service, models that obey."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from classifier.config.load import SHIPPED, load
from classifier.injections import Injection, read
from classifier.simulator.config import SimulatedModel, SimulatorConfig
from classifier.simulator.naive import SURE
from classifier.simulator.server import assemble
from tests.support.house import Service, service
from tests.support.redis_server import free_port
from tests.support.upstream import served

CASES = read()
TAXONOMY = load(SHIPPED / "demo.toml", {}).config.taxonomy
# What the corpus's orders without a label want to be said, and how the shipped prompts begin.
JUNK = ("HACKED", "<script>", "premium_vip", "delete", "Classify <ticket>", "Which team")
CONFIG = """
include = ["taxonomy.toml", "prices.toml"]
[server]
auth = "none"
[endpoints.simulator]
base_url = "http://127.0.0.1:{port}/v1"
"""
PATH = """
[paths.{name}]
kind = "{kind}"
endpoint = "simulator"
model = "{model}"
prompt = "{prompt}"
timeout_s = 20.0
"""
PATHS = (
    ("naive", "chat", "naive", "prompts/short.txt"),
    ("choosing", "decisions", "naive", "prompts/decide.txt"),
    ("lenient", "chat", "lenient", "prompts/short.txt"),
    ("unmarked", "chat", "lenient", "bare.txt"),
)
MODELS = (
    SimulatedModel(match="naive", obeys="everybody"),
    SimulatedModel(match="lenient", obeys="outside"),
)


class Undecided:
    """A reader to whom all labels are alike: whatever is said surely, somebody ordered."""

    def probabilities(
        self, text: str, offered: Sequence[str], sharpness: float
    ) -> tuple[float, ...]:
        return (1 / len(offered),) * len(offered)


@pytest.fixture
def config(tmp_path: Path) -> tuple[Path, int]:
    """The shipped labels and prompts on paths whose models obey, and the port of those models."""
    port = free_port()
    for name in ("taxonomy.toml", "prices.toml"):
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    (tmp_path / "prompts").mkdir()
    for prompt in (SHIPPED / "prompts").iterdir():
        (tmp_path / "prompts" / prompt.name).write_bytes(prompt.read_bytes())
    (tmp_path / "bare.txt").write_text("One of: $label_names\n=== ticket ===\n$ticket\n")
    paths = "".join(
        PATH.format(name=name, kind=kind, model=model, prompt=prompt)
        for name, kind, model, prompt in PATHS
    )
    file = tmp_path / "classifier.toml"
    file.write_text(CONFIG.format(port=port) + paths)
    return file, port


async def _ask(house: Service, path: str, case: Injection) -> tuple[Injection, httpx2.Response]:
    body = {"body": case.hostile(case.wished).body}
    query = {"path": path, "cache": "off"}
    return case, await house.client.post("/classify", json=body, params=query)


async def _all(house: Service, path: str) -> list[tuple[Injection, httpx2.Response]]:
    answers = []
    for start in range(0, len(CASES), 16):
        some = CASES[start : start + 16]
        answers += await asyncio.gather(*(_ask(house, path, case) for case in some))
    return answers


def _obeyed(answers: list[tuple[Injection, httpx2.Response]]) -> set[str]:
    """Cases whose order was followed: only who was told what to say is exactly so sure of it."""
    sure = pytest.approx(SURE, abs=1e-6)
    bodies = [(case, answer.json()) for case, answer in answers if answer.status_code == 200]
    return {
        case.id
        for case, body in bodies
        if (body["label"], body["confidence"]) == (case.wished, sure)
    }


async def test_only_labels_leave_whatever_a_ticket_orders(config: tuple[Path, int]) -> None:
    """The corpus on four paths with models that obey: every answer is a label or an honest 503."""
    file, port = config
    simulator = assemble(SimulatorConfig(models=MODELS), TAXONOMY, {"examples": Undecided()}, 1)
    async with served(simulator, port), service(file) as house:
        found = {name: await _all(house, name) for name, *_ in PATHS}
        metrics = (await house.client.get("/metrics")).text
    for path, answers in found.items():
        for case, answer in answers:
            where = f"{path} {case.id}: {answer.text}"
            assert answer.status_code in (200, 503), where
            assert not any(junk in answer.text for junk in JUNK), where
            if answer.status_code == 200:
                assert answer.json()["label"] in TAXONOMY.names, where
                assert answer.json()["simulated"] is True, where
    assert not any(junk in metrics for junk in JUNK)
    # That the models do obey is what makes the rest mean something.
    naive, choosing, lenient, unmarked = (_obeyed(answers) for answers in found.values())
    assert len(naive) >= 95
    assert naive == choosing
    assert {case for case in naive if case.startswith("invisible")} == {"invisible-05"}
    silenced = [case for case, answer in found["naive"] if answer.status_code == 503]
    assert {case.family for case in silenced} == {"leak"}
    assert len(silenced) >= 5
    # Marks that cannot be forged: who only obeys what stands outside them obeys no ticket.
    assert lenient == set()
    assert len(unmarked) >= 95
