"""Backend kind `chat`: one chat completion that says a label."""

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


class ChatCodec:
    """Chat completions of any OpenAI-compatible server.

    All bytes but the ticket's are made once, at start: a call costs one JSON string.
    """

    route = "/chat/completions"

    def __init__(self, model: str, prompt: Prompt, options: Options, max_ticket_chars: int) -> None:
        self._prompt = prompt
        self._max_ticket_chars = max_ticket_chars
        refuse_keys(options.extra_body, "messages", "model", "n", "stream")
        fields = _fields(model, options) | options.extra_body
        self._head, self._tail = _around_ticket(fields, prompt)

    def encode(self, ticket_text: str) -> bytes:
        message = self._prompt.ticket_message(ticket_text, self._max_ticket_chars)
        return b"".join((self._head, json_string(message), self._tail))

    def decode(self, raw: RawReply) -> Reply:
        completion = decode(_decoder, raw)
        if not completion.choices and completion.usage is None:
            raise garbage(raw)  # any JSON object would do: nobody answered
        choice = completion.choices[0] if completion.choices else _Choice()
        message = choice.message or _Message()
        return Reply(
            text=message.content,
            usage=completion.usage.read() if completion.usage else None,
            refused=bool(message.refusal) or choice.finish_reason == "content_filter",
            cut=choice.finish_reason == "length",
            token_logprobs=_logprobs(choice),
            service_tier=completion.service_tier,
            server_time_s=raw.server_time_s,
            simulated=raw.simulated,
        )


def _fields(model: str, options: Options) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": model,
        "max_completion_tokens": options.max_output_tokens or None,
        "temperature": options.temperature,
        "seed": options.seed,
        "reasoning_effort": options.reasoning_effort,
        "service_tier": options.service_tier,
        "prompt_cache_key": options.prompt_cache_key,
        "logprobs": options.logprobs or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _around_ticket(fields: dict[str, Any], prompt: Prompt) -> tuple[bytes, bytes]:
    """The request's bytes before and after the user message's content."""
    system = {"role": "system", "content": prompt.static}
    start = msgspec.json.encode({**fields, "messages": [system]})
    return start.removesuffix(b"]}") + b',{"role":"user","content":', b"}]}"


# What is read of a completion; everything else is skipped without being built.
class _TokenLogprob(Struct):
    token: str
    logprob: float


class _Logprobs(Struct):
    content: list[_TokenLogprob] | None = None


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(Struct):
    message: _Message | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Usage(Struct):
    prompt_tokens: Tokens
    completion_tokens: Tokens
    prompt_tokens_details: InputDetails | None = None

    def read(self) -> Usage:
        details = self.prompt_tokens_details or InputDetails()
        return Usage(
            self.prompt_tokens,
            self.completion_tokens,
            details.cached_tokens,
            details.cache_write_tokens,
        )


class _Completion(Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    service_tier: str | None = None


_decoder = msgspec.json.Decoder(_Completion)


def _logprobs(choice: _Choice) -> tuple[tuple[str, float], ...] | None:
    content = choice.logprobs.content if choice.logprobs else None
    return tuple((t.token, t.logprob) for t in content) if content else None
