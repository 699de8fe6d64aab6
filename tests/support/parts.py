"""Single parts of the house, built as the assembly builds them, for tests below the front door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any

from classifier.admission.admission import Admission
from classifier.admission.gate import Gate
from classifier.assembly import Assembly
from classifier.config.load import load
from classifier.config.overload import Overload
from classifier.config.schema import Cache as CacheConfig
from classifier.config.schema import Endpoint as EndpointConfig
from classifier.config.schema import Options, PathConfig, Price, Prices
from classifier.guards.registry import Guards
from classifier.paths.chat import ChatCodec
from classifier.paths.decisions import DecisionsCodec
from classifier.paths.endpoint import OpenAIEndpoint
from classifier.paths.path import Path
from classifier.paths.pool import EndpointPool
from classifier.pipeline import Pipeline
from classifier.ports import AnswerCache, Codec, Endpoint
from classifier.pricing import PriceTable
from classifier.prompts import render
from classifier.records import Answer, Attempt, Classification, Door
from classifier.taxonomy import Label, LabelReader, Taxonomy

SECRET = b"a secret of sixteen bytes or more"
TAXONOMY = Taxonomy(
    name="test",
    labels=(
        Label(name="billing", description="invoices", examples=("charged twice",)),
        Label(name="login"),
        Label(name="other", description="anything else"),
    ),
)
PROMPT = render(
    "test.txt", "Answer one of: $label_names\n=== ticket ===\nTicket: $ticket\nLabel:", TAXONOMY
)
PRICES = PriceTable(
    Prices(
        as_of="2026-11-22",
        models=(
            Price(
                model="priced",
                input=Decimal("0.15"),
                cached_input=Decimal("0.075"),
                output=Decimal("0.60"),
            ),
        ),
    )
)
ANSWER = Answer(
    label="billing",
    confidence=0.75,
    path="long",
    model="priced",
    taxonomy="test@1",
    prompt="test.txt@2",
    simulated=True,
    escalated_from="short",
    ticket_tokens=17,
    output_tokens=3,
    ttl_s=60.0,
)


def chat(options: Options | None = None, model: str = "priced", max_chars: int = 12_000) -> Codec:
    """Backend kind `chat` over the test's prompt."""
    return ChatCodec(model, PROMPT, options or Options(), max_chars)


def decisions(
    options: Options | None = None, model: str = "priced", max_chars: int = 12_000
) -> Codec:
    """Backend kind `decisions` over the test's prompt and taxonomy."""
    return DecisionsCodec(model, PROMPT, options or Options(), max_chars, TAXONOMY)


@asynccontextmanager
async def endpoint(url: str, key: str = "none", **config: Any) -> AsyncIterator[OpenAIEndpoint]:
    """The real client of one model server."""
    opened = OpenAIEndpoint(EndpointConfig(base_url=url, **config), key)
    try:
        yield opened
    finally:
        await opened.aclose()


def path(name: str, server: Endpoint, codec: Codec | None = None, **config: Any) -> Path:
    """A path with a known price over an endpoint; `config` as under `[paths.NAME]`."""
    settings: dict[str, Any] = {"model": "priced", "prompt": "test.txt", "timeout_s": 20.0} | config
    settled = PathConfig(kind="chat", endpoint="test", **settings)
    return Path(
        name=name,
        config=settled,
        codec=codec or chat(),
        endpoint=server,
        prompt=PROMPT,
        prices=PRICES,
        reader=LabelReader(TAXONOMY),
        static_tokens=None,
        guard=Guards().guard(name, settled, server),
    )


class Remembering:
    """An Observer that keeps what it was told."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.classifications: list[Classification] = []
        self.failures: list[str] = []
        self.shadows: list[tuple[str, str]] = []
        self.operations: list[tuple[str, str, str]] = []
        self.away: list[bool] = []
        self.turns: list[str] = []
        self.breakers: list[tuple[str, str, str]] = []
        self.retries: list[tuple[str, str]] = []
        self.hedges: list[tuple[str, str]] = []
        self.skips: list[tuple[str, str]] = []

    def breaker_changed(self, path: str, state: str, reason: str) -> None:
        self.breakers.append((path, state, reason))

    def retried(self, path: str, outcome: str) -> None:
        self.retries.append((path, outcome))

    def hedged(self, path: str, outcome: str) -> None:
        self.hedges.append((path, outcome))

    def skipped(self, path: str, why: str) -> None:
        self.skips.append((path, why))

    def attempted(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def classified(self, classification: Classification, door: Door) -> None:
        self.classifications.append(classification)

    def failed(self, door: Door, outcome: str, total_s: float) -> None:
        self.failures.append(outcome)

    def shadowed(self, path: str, agreement: str) -> None:
        self.shadows.append((path, agreement))

    def cache_operation(self, tier: str, operation: str, outcome: str, duration_s: float) -> None:
        self.operations.append((tier, operation, outcome))

    def cache_away(self, *, away: bool) -> None:
        self.away.append(away)

    def cache_turn(self, outcome: str) -> None:
        self.turns.append(outcome)


class Gatekeeper:
    """An AdmissionObserver that remembers who was admitted and who was refused."""

    def __init__(self) -> None:
        self.admissions: list[tuple[str, float]] = []
        self.refusals: list[tuple[str, str]] = []

    def watch(self, gate: Gate) -> None:
        self.gate = gate

    def admitted(self, priority: str, queued_s: float) -> None:
        self.admissions.append((priority, queued_s))

    def shed(self, door: str, reason: str) -> None:
        self.refusals.append((door, reason))


def admission(config: Overload | None = None, observer: Gatekeeper | None = None) -> Admission:
    """Slots for a pipeline of a test's own."""
    return Admission(config or Overload(), observer or Gatekeeper())


@asynccontextmanager
async def pipeline(
    config: FilePath, observer: Remembering, cache: AnswerCache | None = None
) -> AsyncIterator[Pipeline]:
    """The hallway alone: the config's paths over real endpoints, with a cache of the test's own."""
    endpoints = EndpointPool({})
    assembly = Assembly(load(config, {}), endpoints.open, Guards(observer).guard)
    built = Pipeline(assembly, cache, SECRET, observer, admission(assembly.config.overload))
    try:
        yield built
    finally:
        await built.aclose()
        await endpoints.aclose()


def cache_config(**changes: Any) -> CacheConfig:
    """Limits that a test can wait for."""
    return CacheConfig(**({"redis_timeout_s": 0.1, "breaker_probe_s": 0.1} | changes))
