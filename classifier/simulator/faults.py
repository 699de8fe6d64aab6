"""Faults on demand: what can go wrong, the rules that say when, and the draws that decide."""

from __future__ import annotations

from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct, structs

from classifier.simulator.asgi import Answer, Headers
from classifier.simulator.refusals import Refused

HEADER = "x-simulate-fault"

# Instead of an answer: an error status, or a page of somebody in between.
Error = Literal[
    "rate_limited", "quota", "loading", "bad_request", "content_filter", "unauthorised",
    "model_gone", "server_error", "overloaded", "html", "login_page",
]  # fmt: skip
# An answer that says something wrong, or not all of it.
Spoilt = Literal[
    "empty_choices", "wrong_label", "sentence", "refusal",
    "missing_usage", "missing_details", "no_logprobs",
]  # fmt: skip
# An answer that arrives badly.
Broken = Literal["hang", "slow_body", "cut", "garbage", "oversize", "plain_text", "slow"]
Fault = Literal[Error, Spoilt, Broken]

NAMES: tuple[str, ...] = get_args(Fault)
ERRORS: frozenset[str] = frozenset(get_args(Error))
OVERSIZE_BYTES = 2_000_000
_DEFAULT_DELAY_S = {"slow": 2.0, "slow_body": 2.0}
_DEFAULT_RETRY_AFTER_S = {"rate_limited": 1.0}

_WORDS: dict[str, tuple[int, str, str, str | None]] = {
    "rate_limited": (429, "Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    "quota": (429, "You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
    "loading": (429, "The model is still being loaded, try again", "requests", None),
    "bad_request": (400, "Invalid request", "invalid_request_error", None),
    "content_filter": (400, "The response was filtered", "invalid_request_error", "content_filter"),
    "unauthorised": (401, "Incorrect API key", "invalid_request_error", "invalid_api_key"),
    "model_gone": (404, "The model does not exist", "invalid_request_error", "model_not_found"),
    "server_error": (500, "The server had an error", "server_error", None),
    "overloaded": (503, "The engine is currently overloaded", "server_error", None),
}
_PAGES: dict[str, tuple[int, bytes]] = {
    "html": (502, b"<html><body><h1>502 Bad Gateway</h1><p>simulated</p></body></html>"),
    "login_page": (200, b"<html><body><h1>Please sign in</h1><p>simulated</p></body></html>"),
}


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """Serves a fault to a share of the calls, `count` times or until it is cleared."""

    fault: Fault
    model: str = "*"
    share: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    count: Annotated[int, Meta(ge=1)] | None = None
    retry_after_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] | None = None
    delay_s: Annotated[float, Meta(ge=0.0, le=3_600.0)] | None = None

    @property
    def wait_s(self) -> float:
        """How much longer the answer, or its body, takes."""
        return _DEFAULT_DELAY_S.get(self.fault, 0.0) if self.delay_s is None else self.delay_s

    @property
    def headers(self) -> Headers:
        """`Retry-After`, where one was asked for or is usual."""
        default_s = _DEFAULT_RETRY_AFTER_S.get(self.fault)
        value_s = default_s if self.retry_after_s is None else self.retry_after_s
        return () if value_s is None else ((b"retry-after", f"{value_s:g}".encode()),)


class FaultBook:
    """The rules in force. Promise: the same seed, rules and order of calls serve the same faults."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.rules: list[Rule] = []

    def choose(self, model: str, header: str) -> Rule | None:
        """The request's own fault, else the first rule that hits. Raises Refused: no such fault."""
        if header:
            return Rule(known(header))
        for position, rule in enumerate(self.rules):
            if fnmatchcase(model, rule.model) and self._random.random() < rule.share:
                self._count_down(position, rule)
                return rule
        return None

    def _count_down(self, position: int, rule: Rule) -> None:
        if rule.count == 1:
            del self.rules[position]
        elif rule.count is not None:
            self.rules[position] = structs.replace(rule, count=rule.count - 1)


def known(name: object) -> Fault:
    """Raises Refused with all names for one that is no fault."""
    for fault in NAMES:
        if name == fault:
            return fault  # type: ignore[return-value]  # mypy does not follow get_args
    raise Refused(
        422, f"unknown fault {name!r}; there are: {', '.join(NAMES)}", code="unknown_fault"
    )


def error_answer(rule: Rule) -> Answer:
    """What a fault of the `Error` kind answers."""
    if rule.fault in _PAGES:
        status, page = _PAGES[rule.fault]
        return Answer(status, page, content_type=b"text/html", took_s=rule.wait_s)
    status, message, kind, code = _WORDS[rule.fault]
    refused = Refused(status, f"{message} (simulated)", kind=kind, code=code)
    return refused.answer(rule.headers, rule.wait_s)


def broken_answer(answer: Answer, rule: Rule) -> Answer:
    """A good answer on a bad way; faults that are not of the `Broken` kind change nothing."""
    match rule.fault:
        case "hang" | "cut":
            return structs.replace(answer, delivery="never" if rule.fault == "hang" else "cut")
        case "slow_body":
            return structs.replace(answer, delivery="drops", drops_s=rule.wait_s, took_s=0.0)
        case "garbage":
            return structs.replace(answer, body=answer.body[: len(answer.body) // 2])
        case "plain_text":
            return structs.replace(answer, content_type=b"text/plain")
        case "oversize":
            return structs.replace(answer, body=answer.body.ljust(OVERSIZE_BYTES))
        case _:
            return structs.replace(answer, took_s=answer.took_s + rule.wait_s)
