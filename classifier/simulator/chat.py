"""`POST /v1/chat/completions`: the last user message is the ticket, the label is the answer."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
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
from classifier.simulator.spelling import Step, on_the_wire, spell, spell_words, written
from classifier.simulator.vocabulary import Vocabulary
from classifier.taxonomy import Taxonomy

REFUSAL = "I'm sorry, but I can't help with that. (simulated)"
_REPLY_TOKENS = 3  # every reply is primed with these
_MESSAGE_TOKENS = 3  # beside the role's name and the content


class _Part(Struct):
    text: str = ""


class _Message(Struct):
    role: str
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class _Request(Struct):
    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None


_decoder = msgspec.json.Decoder(_Request)


class ChatDialect:
    """Chat completions of one taxonomy, never streamed."""

    endpoint: Endpoint = "chat"

    def __init__(self, taxonomy: Taxonomy, vocabulary: Vocabulary) -> None:
        self._names = taxonomy.names
        self._patterns = {name: _whole_word(name) for name in taxonomy.names}
        self._vocabulary = vocabulary

    def read(self, body: bytes) -> ChatQuestion:
        request = decode(_decoder, body)
        if request.stream:
            raise Refused(400, "This server is simulated and does not stream: leave `stream` out.")
        return ChatQuestion(request, self._offered(request), self._vocabulary)

    def _offered(self, request: _Request) -> tuple[str, ...]:
        """The labels that the instructions name; all when they name none."""
        system = "\n".join(m.text for m in request.messages if m.role in {"system", "developer"})
        low = system.casefold()
        named = tuple(name for name, pattern in self._patterns.items() if pattern.search(low))
        return named or self._names


class ChatQuestion:
    """A `Question` with one offer."""

    def __init__(self, request: _Request, offered: tuple[str, ...], vocabulary: Vocabulary) -> None:
        self._request = request
        self._vocabulary = vocabulary
        *static, last = request.messages
        self.model = request.model
        self.message = last.text
        self.ticket = unmarked(last.text)
        self.prefix = "\0".join(f"{message.role}\0{message.text}" for message in static)
        self.instructions = "\n".join(message.text for message in static)
        self.prefix_tokens = sum(map(self._count, static))
        self.input_tokens = _REPLY_TOKENS + self.prefix_tokens + self._count(last)
        self.cache_key = request.prompt_cache_key or ""
        self.offers: Sequence[tuple[str, ...]] = (offered,)

    def _count(self, message: _Message) -> int:
        count = self._vocabulary.count
        return _MESSAGE_TOKENS + count(message.role) + count(message.text)

    def answer(
        self, number: int, opinions: Sequence[Opinion], hit: Hit, fault: Fault | None
    ) -> Draft:
        steps = self._steps(opinions[0], fault)
        limit = self._request.max_completion_tokens or self._request.max_tokens or len(steps)
        usage = Usage(self.input_tokens, min(limit, len(steps)), hit.read, hit.written)
        body = {
            "id": f"chatcmpl-simulated-{number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [self._choice(steps, limit, fault)],
            "usage": _usage(usage),
            "service_tier": _tier(self._request.service_tier),
            "system_fingerprint": "simulated",
        }
        return Draft(_spoilt(body, fault), usage)

    def _steps(self, opinion: Opinion, fault: Fault | None) -> list[Step]:
        split = self._vocabulary.pieces
        if fault == "refusal":
            return spell_words(REFUSAL, split)
        words = said(opinion.said, fault)
        return spell(opinion, split) if words == opinion.label else spell_words(words, split)

    def _choice(self, steps: list[Step], limit: int, fault: Fault | None) -> dict[str, Any]:
        text = written(steps[:limit])
        refuses = fault == "refusal"
        return {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None if refuses else text,
                "refusal": text if refuses else None,
                "annotations": [],
            },
            "logprobs": self._logprobs(steps[:limit], fault),
            "finish_reason": "length" if limit < len(steps) else "stop",
        }

    def _logprobs(self, steps: list[Step], fault: Fault | None) -> dict[str, Any] | None:
        if not self._request.logprobs or fault == "no_logprobs":
            return None
        content = on_the_wire(steps, self._request.top_logprobs or 0)
        if fault == "refusal":
            return {"content": None, "refusal": content}
        return {"content": content, "refusal": None}


def _whole_word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name.casefold())}(?!\w)")


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _tier(asked: str | None) -> str:
    """The tier that is billed: `fast` is sold under its new name, answered under its old one."""
    return {"fast": "priority", "auto": "default", None: "default"}.get(asked, asked or "default")


def _spoilt(body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    match fault:
        case "empty_choices":
            body["choices"] = []
        case "missing_usage":
            del body["usage"]
        case "missing_details":
            del body["usage"]["prompt_tokens_details"]
            del body["usage"]["completion_tokens_details"]
        case _:
            pass
    return body
