"""One trained simulator on a free port for all tests here; its statistics and faults are fresh."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator

import httpx2
import openai
import pytest

from classifier.config.load import SHIPPED
from classifier.config.toml import Document, convert
from classifier.simulator.bag_of_words import BagOfWords
from classifier.simulator.config import Latency, SimulatedModel, SimulatorConfig, Skill
from classifier.simulator.opinion import Reader
from classifier.simulator.rows import Row, read_rows
from classifier.simulator.server import assemble, server
from classifier.simulator.training import train
from classifier.simulator.vocabulary import Vocabulary
from classifier.taxonomy import Taxonomy

TICKETS = SHIPPED / "tickets.jsonl"
MODELS = (
    SimulatedModel(match="ft:*", reads="tickets", listed=("ft:a",), shutdown_date="2027-01-14"),
    SimulatedModel(match="gpt-6-luna*", cache_writes=True, listed=("gpt-6-luna",)),
    SimulatedModel(match="shy", abstain_below=1.0),
    SimulatedModel(match="sluggish", latency=Latency(base_ms=40.0)),
    SimulatedModel(match="only-chat", endpoints=("chat",)),
    SimulatedModel(match="naive", obeys="everybody"),
)


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    """The shipped labels."""
    document = Document("taxonomy.toml", (SHIPPED / "taxonomy.toml").read_text(encoding="utf-8"))
    return convert(document, document.tables["taxonomy"], Taxonomy)


@pytest.fixture(scope="session")
def training() -> list[Row]:
    """The shipped tickets that may be learned."""
    return read_rows(TICKETS, "train")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """The real o200k_base."""
    return Vocabulary()


@pytest.fixture(scope="session")
def base_reader(taxonomy: Taxonomy) -> BagOfWords:
    """A reader that learned the taxonomy's text only."""
    return train(taxonomy)


@pytest.fixture(scope="session")
def tuned_reader(taxonomy: Taxonomy, training: list[Row]) -> BagOfWords:
    """A reader that learned the training tickets too."""
    return train(taxonomy, training)


@pytest.fixture(scope="session")
def address(taxonomy: Taxonomy, base_reader: BagOfWords, tuned_reader: BagOfWords) -> Iterator[str]:
    """A simulator that runs in a thread of its own until the last test here is over."""
    readers: dict[Skill, Reader] = {"examples": base_reader, "tickets": tuned_reader}
    app = assemble(SimulatorConfig(models=MODELS), taxonomy, readers, seed=1)
    listener = socket.create_server(("127.0.0.1", 0))  # calls wait here until the server is up
    port = listener.getsockname()[1]
    running = server(app, "127.0.0.1", port)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join()


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain client; statistics are reset before the test, faults cleared after it."""
    headers = {"authorization": "Bearer any"}
    async with httpx2.AsyncClient(base_url=address, headers=headers) as client:
        await client.post("/simulator/reset")
        yield client
        await client.delete("/simulator/faults")


@pytest.fixture
async def sdk(address: str, http: httpx2.AsyncClient) -> AsyncIterator[openai.AsyncOpenAI]:
    """The vendor's own client."""
    async with openai.AsyncOpenAI(
        api_key="any", base_url=f"{address}/v1", max_retries=0, timeout=5.0
    ) as client:
        yield client
