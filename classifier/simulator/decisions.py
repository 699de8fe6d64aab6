"""`POST /v1/decisions`: a probability for every choice of every question, no text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from classifier.records import Usage
from classifier.simulator.boundaries import unmarked
from classifier.simulator.config import Endpoint
from classifier.simulator.dialect import Draft, decode, said
from classifier.simulator.faults import Fault
from classifier.simulator.opinion import Opinion
from classifier.simulator.prompt_cache import Hit
from classifier.simulator.refusals import Refused
from classifier.simulator.vocabulary import Vocabulary


class _Part(Struct):
    text: str = ""


class _Message(Struct):
    content: str | list[_Part] = ""


class _Choice(Struct):
    value: str
    description: str = ""


class _Question(Struct):
    type: str
    instructions: str | list[_Part] = ""
    name: str | None = None
    choices: Annotated[list[_Choice], Meta(max_length=255)] = []


class _Request(Struct):
    model: str
    input: str | list[_Message]
    questions: Annotated[list[_Question], Meta(min_length=1, max_length=400)]
    prompt_cache_key: str | None = None


_decoder = msgspec.json.Decoder(_Request)


class DecisionsDialect:
    """Decisions over whatever is on offer. Only `choice` questions are understood."""

    endpoint: Endpoint = "decisions"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def read(self, body: bytes) -> DecisionsQuestion:
        request = decode(_decoder, body)
        for question in request.questions:
            _refuse_odd(question)
        return DecisionsQuestion(request, self._vocabulary)


def _refuse_odd(question: _Question) -> None:
    if question.type != "choice":
        raise Refused(400, f"This server is simulated and answers `choice`, not `{question.type}`.")
    values = [choice.value for choice in question.choices]
    if len(values) < 2 or len(set(values)) < len(values):  # noqa: PLR2004 (the vendor's minimum)
        raise Refused(400, "A choice question needs 2 to 255 different choices.")


class DecisionsQuestion:
    """A `Question` with an offer per question."""

    def __init__(self, request: _Request, vocabulary: Vocabulary) -> None:
        self._questions = request.questions
        self.model = request.model
        self.message = _text(request.input)
        self.ticket = unmarked(self.message)
        self.prefix = "\n".join(map(_static, request.questions))
        self.instructions = self.prefix
        self.prefix_tokens = vocabulary.count(self.prefix)
        self.input_tokens = self.prefix_tokens + vocabulary.count(self.message)
        self.cache_key = request.prompt_cache_key or ""
        self.offers: Sequence[tuple[str, ...]] = [
            tuple(choice.value for choice in one.choices) for one in request.questions
        ]

    def answer(
        self, number: int, opinions: Sequence[Opinion], hit: Hit, fault: Fault | None
    ) -> Draft:
        del number  # decisions have no id
        pairs = zip(self._questions, opinions, strict=True)
        usage = Usage(self.input_tokens, 0, hit.read, hit.written)
        body = {
            "model": self.model,
            "answers": [_answer(question.name, opinion, fault) for question, opinion in pairs],
            "usage": _usage(usage),
        }
        return Draft(_spoilt(body, fault), usage)


def _text(content: str | Iterable[_Message] | Iterable[_Part]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(one.text if isinstance(one, _Part) else _text(one.content) for one in content)


def _static(question: _Question) -> str:
    """What a question costs, counted as classifier.tokens.static_text writes it."""
    choices = "".join(f"\n{choice.value}: {choice.description}" for choice in question.choices)
    return _text(question.instructions) + choices


def _answer(name: str | None, opinion: Opinion, fault: Fault | None) -> dict[str, Any]:
    if fault == "refusal":
        return {"type": "refusal", "name": name}
    answer = {"type": "choice", "name": name, "choice": said(opinion.said, fault)}
    if fault == "no_logprobs":
        return answer
    pairs = zip(opinion.offered, opinion.probabilities, strict=True)
    return {
        **answer,
        "confidence": opinion.probability,
        "probabilities": [{"value": value, "probability": share} for value, share in pairs],
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _spoilt(body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    match fault:
        case "empty_choices":
            body["answers"] = []
        case "missing_usage":
            del body["usage"]
        case "missing_details":
            del body["usage"]["input_tokens_details"]
            del body["usage"]["output_tokens_details"]
        case _:
            pass
    return body
