"""Backend kind `decisions`: options in, a probability per option out, no output charge."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from classifier.config.schema import Options
from classifier.paths.wire import (
    InputDetails,
    Tokens,
    decode,
    garbage,
    json_string,
    refuse_keys,
)
from classifier.ports import RawReply
from classifier.prompts import Prompt
from classifier.records import Reply, Usage
from classifier.taxonomy import Taxonomy


class DecisionsCodec:
    """`POST /decisions` with one `choice` question over the taxonomy's labels.

    The prompt's static part is the question's instruction; every label is a choice with its
    description. A refusal inside a 200 is an answer without a label (vendor: a refusal "can be
    returned for any question").
    """

    route = "/decisions"

    def __init__(
        self,
        model: str,
        prompt: Prompt,
        options: Options,
        max_ticket_chars: int,
        taxonomy: Taxonomy,
    ) -> None:
        self._prompt = prompt
        self._max_ticket_chars = max_ticket_chars
        refuse_keys(options.extra_body, "input", "model", "questions")
        fields = _fields(model, prompt, options, taxonomy)
        self._head = msgspec.json.encode(fields).removesuffix(b"}") + b',"input":'

    def encode(self, ticket_text: str) -> bytes:
        message = self._prompt.ticket_message(ticket_text, self._max_ticket_chars)
        return b"".join((self._head, json_string(message), b"}"))

    def decode(self, raw: RawReply) -> Reply:
        decision = decode(_decoder, raw)
        if not decision.answers and decision.usage is None:
            raise garbage(raw)  # any JSON object would do: nobody answered
        answer = decision.answers[0] if decision.answers else _Answer("refusal")
        text = answer.choice if isinstance(answer.choice, str) else None
        return Reply(
            text=text,
            usage=decision.usage.read() if decision.usage else None,
            refused=answer.type == "refusal",
            probabilities=_probabilities(answer),
            server_time_s=raw.server_time_s,
            simulated=raw.simulated,
        )


def _fields(model: str, prompt: Prompt, options: Options, taxonomy: Taxonomy) -> dict[str, Any]:
    choices = [
        {"value": label.name} | ({"description": label.description} if label.description else {})
        for label in taxonomy.labels
    ]
    fields: dict[str, Any] = {
        "model": model,
        "questions": [
            {"type": "choice", "name": "label", "instructions": prompt.static, "choices": choices}
        ],
    }
    if options.prompt_cache_key is not None:
        fields["prompt_cache_key"] = options.prompt_cache_key
    return fields | options.extra_body


# What is read of a decision; everything else is skipped without being built.
class _Probability(Struct):
    value: str | bool
    probability: float


class _Answer(Struct):
    type: str
    choice: str | bool | None = None
    confidence: float | None = None
    probabilities: list[_Probability] = []


class _Usage(Struct):
    input_tokens: Tokens
    output_tokens: Tokens = 0
    input_tokens_details: InputDetails | None = None

    def read(self) -> Usage:
        details = self.input_tokens_details or InputDetails()
        return Usage(
            self.input_tokens, self.output_tokens, details.cached_tokens, details.cache_write_tokens
        )


class _Decision(Struct):
    answers: list[_Answer] = []
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Decision)


def _probabilities(answer: _Answer) -> dict[str, float] | None:
    found = {p.value: p.probability for p in answer.probabilities if isinstance(p.value, str)}
    if not found and answer.confidence is not None and isinstance(answer.choice, str):
        return {answer.choice: answer.confidence}
    return found or None
