"""simulator.toml: which models there are, how well they read and how long they take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from classifier.config.load import SHIPPED
from classifier.config.section import Section, Share
from classifier.config.toml import Document, convert
from classifier.errors import ConfigError

SHIPPED_FILE = SHIPPED / "simulator.toml"

Endpoint = Literal["chat", "decisions"]
Skill = Literal["examples", "tickets"]
Obeys = Literal["nobody", "outside", "everybody"]
Amount = Annotated[float, Meta(ge=0.0, le=3_600_000.0)]
Factor = Annotated[float, Meta(gt=0.0, le=1_000.0)]


class Latency(Section, frozen=True, kw_only=True):
    """How long an answer takes: a median that grows with the tokens, a lognormal spread, a tail."""

    base_ms: Amount = 0.0
    per_input_token_us: Annotated[
        Amount, Meta(description="for tokens not read from the cache")
    ] = 0.0
    per_output_token_ms: Amount = 0.0
    sigma: Annotated[float, Meta(ge=0.0, le=3.0, description="p95 / p50 is exp(1.645 sigma)")] = 0.0
    slow_share: Annotated[
        Share, Meta(description="this part takes `slow_factor` times as long")
    ] = 0.0
    slow_factor: Factor = 10.0
    stall_share: Annotated[Share, Meta(description="this part takes `stall_ms` longer")] = 0.0
    stall_ms: Amount = 0.0
    slow_start_calls: Annotated[
        int,
        Meta(ge=0, description="first calls after the start or an idle time: a model that loads"),
    ] = 0
    slow_start_factor: Factor = 5.0
    idle_s: Annotated[
        float, Meta(gt=0.0, description="pause after which a model is cold again")
    ] = 300.0


class SimulatedModel(Section, frozen=True, kw_only=True):
    """One entry: all models whose name fits `match` and that are asked on one of `endpoints`."""

    match: Annotated[str, Meta(min_length=1, description="`*` and `?` as in file names")]
    endpoints: Annotated[tuple[Endpoint, ...], Meta(min_length=1)] = ("chat", "decisions")
    reads: Annotated[
        Skill,
        Meta(
            description="`examples`: knows the taxonomy's text, like a base model that saw the "
            "prompt; `tickets`: the training tickets too, like a fine-tune"
        ),
    ] = "examples"
    sharpness: Annotated[
        Factor, Meta(description="exponent on the probabilities: above 1 it is surer of itself")
    ] = 1.0
    abstain_below: Annotated[
        Share, Meta(description="best probability under which it answers the abstain label")
    ] = 0.1
    max_concurrency: Annotated[
        int,
        Meta(
            ge=0,
            description="calls worked on at once; further ones wait in line, as a vLLM server's do "
            "beyond `max_num_seqs`. 0: no limit",
        ),
    ] = 0
    obeys: Annotated[
        Obeys,
        Meta(
            description="whose orders it follows, beside its instructions: nobody's; those that stand "
            "`outside` a ticket's marks; `everybody`'s, however disguised, in a dozen languages"
        ),
    ] = "nobody"
    cache_writes: Annotated[bool, Meta(description="reports `cache_write_tokens`")] = False
    listed: Annotated[tuple[str, ...], Meta(description="names shown by GET /v1/models")] = ()
    shutdown_date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    latency: Latency = field(default_factory=Latency)


class SimulatorConfig(Section, frozen=True, kw_only=True):
    """The whole file. The first entry that fits a model wins; a model without one is unknown."""

    models: Annotated[tuple[SimulatedModel, ...], Meta(min_length=1)]


def load(path: Path = SHIPPED_FILE) -> SimulatorConfig:
    """Reads simulator.toml. Raises ConfigError with file, line and what to do."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the simulator's file {path} cannot be read: {error}") from error
    document = Document(path.name, text)
    return convert(document, document.tables, SimulatorConfig)
