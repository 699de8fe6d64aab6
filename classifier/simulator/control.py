"""The simulator's own knobs: statistics, faults and what it says of itself."""

from __future__ import annotations

from typing import Any

import msgspec

from classifier.simulator.asgi import Answer, Request
from classifier.simulator.calls import authorise
from classifier.simulator.faults import FaultBook, Rule, known
from classifier.simulator.models import Models
from classifier.simulator.refusals import Refused
from classifier.simulator.stats import Stats

WHAT_IT_IS = b"A simulated model server: its answers, token counts and times are not a vendor's.\n"


class Control:
    """Answers everything but calls to a model."""

    def __init__(self, models: Models, faults: FaultBook, stats: Stats) -> None:
        self._models = models
        self._faults = faults
        self._stats = stats

    def what_it_is(self, _: Request) -> Answer:
        return Answer(200, WHAT_IT_IS, content_type=b"text/plain; charset=utf-8")

    def list_models(self, request: Request) -> Answer:
        authorise(request)
        return _json(self._models.listing())

    def show_stats(self, _: Request) -> Answer:
        return _json(self._stats.report())

    def reset_stats(self, request: Request) -> Answer:
        self._stats.reset()
        return self.show_stats(request)

    def show_faults(self, _: Request) -> Answer:
        return _json({"rules": self._faults.rules})

    def add_fault(self, request: Request) -> Answer:
        """Appends a rule: earlier ones go first."""
        self._faults.rules.append(_rule(request.body or b""))
        return self.show_faults(request)

    def clear_faults(self, request: Request) -> Answer:
        self._faults.rules.clear()
        return self.show_faults(request)


def _rule(body: bytes) -> Rule:
    try:
        value = msgspec.json.decode(body)
        if isinstance(value, dict):
            known(value.get("fault"))
        return msgspec.convert(value, Rule)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(422, f"not a fault rule: {error}") from error


def _json(value: Any) -> Answer:
    return Answer(200, msgspec.json.encode(value))
