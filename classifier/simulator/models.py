"""The simulated models: found by name and endpoint, each with its reader and its clock."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from classifier.simulator.capacity import Capacity
from classifier.simulator.config import Endpoint, SimulatedModel, SimulatorConfig, Skill
from classifier.simulator.dialect import Question
from classifier.simulator.latency import LatencyModel
from classifier.simulator.naive import Naive
from classifier.simulator.opinion import Opinion, Reader, decide
from classifier.simulator.refusals import unknown_model

_MADE_AT = 1_767_225_600  # 2026-01-01: a constant, so that the list never changes


class Model:
    """One entry of simulator.toml at work."""

    def __init__(
        self, config: SimulatedModel, reader: Reader, abstain: str, random: Random
    ) -> None:
        self.config = config
        self.latency = LatencyModel(config.latency, random)
        self.capacity = Capacity(config.max_concurrency)
        self._reader = reader
        self._abstain = abstain
        self._naive = None if config.obeys == "nobody" else Naive(config.obeys)

    def fits(self, name: str, endpoint: Endpoint) -> bool:
        return endpoint in self.config.endpoints and fnmatchcase(name, self.config.match)

    def opinions(self, question: Question) -> list[Opinion]:
        return [self._opinion(question, offered) for offered in question.offers]

    def _opinion(self, question: Question, offered: tuple[str, ...]) -> Opinion:
        probabilities = self._reader.probabilities(question.ticket, offered, self.config.sharpness)
        opinion = decide(offered, probabilities, self._abstain, self.config.abstain_below)
        if self._naive is None:
            return opinion
        return self._naive.answer(question.message, question.instructions, opinion)

    def listing(self) -> list[dict[str, Any]]:
        return [
            {
                "id": name,
                "object": "model",
                "created": _MADE_AT,
                "owned_by": "simulated",
                "shutdown_date": self.config.shutdown_date,
            }
            for name in self.config.listed
        ]


class Models:
    """All entries in their order: the first that fits wins."""

    def __init__(
        self, config: SimulatorConfig, readers: Mapping[Skill, Reader], abstain: str, seed: int
    ) -> None:
        self._models = [
            Model(one, readers[one.reads], abstain, Random(f"{seed}:{position}"))
            for position, one in enumerate(config.models)
        ]

    def find(self, name: str, endpoint: Endpoint) -> Model:
        """Raises Refused with 404 when no entry fits."""
        for model in self._models:
            if model.fits(name, endpoint):
                return model
        raise unknown_model(name)

    def listing(self) -> dict[str, Any]:
        by_id = {entry["id"]: entry for model in self._models for entry in model.listing()}
        return {"object": "list", "data": list(by_id.values())}
