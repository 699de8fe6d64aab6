"""What both endpoints share: a question taken off the wire, and a draft of what goes on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from classifier.records import Usage
from classifier.simulator.config import Endpoint
from classifier.simulator.faults import Fault
from classifier.simulator.opinion import Opinion
from classifier.simulator.prompt_cache import Hit
from classifier.simulator.refusals import Refused
from classifier.simulator.vocabulary import MAX_CHARS

NO_LABEL = "no_such_label"  # what the fault `wrong_label` says
T = TypeVar("T")


class Draft(Struct, frozen=True):
    """An answer's body before it is encoded, and the tokens that it books."""

    body: dict[str, Any]
    usage: Usage


class Question(Protocol):
    """One request, understood. `offers` holds the labels to choose from, one entry a choice.

    `message` is the ticket with whatever stands around it, `instructions` what came before it.
    """

    model: str
    message: str
    ticket: str
    instructions: str
    prefix: str
    prefix_tokens: int
    input_tokens: int
    cache_key: str
    offers: Sequence[tuple[str, ...]]

    def answer(
        self, number: int, opinions: Sequence[Opinion], hit: Hit, fault: Fault | None
    ) -> Draft: ...


class Dialect(Protocol):
    """Speaks one endpoint. Promise: no I/O; raises Refused for a request that it cannot read."""

    endpoint: Endpoint

    def read(self, body: bytes) -> Question: ...


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Raises Refused for what is not the request that the endpoint expects."""
    if len(body) > MAX_CHARS:
        raise Refused(400, "The input is too long. (simulated)", code="context_length_exceeded")
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"{error} (simulated)") from error


def said(label: str, fault: Fault | None) -> str:
    """The words for a label; two faults put others in its place."""
    match fault:
        case "wrong_label":
            return NO_LABEL
        case "sentence":
            return f"I would say that this ticket is about {label}, but I am not sure."
        case _:
            return label
