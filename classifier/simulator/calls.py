"""One call to a model: key, question, fault, opinion, usage, time, answer. Always in this order."""

from __future__ import annotations

from time import monotonic

import msgspec
from msgspec import structs

from classifier.simulator.asgi import Answer, Request
from classifier.simulator.dialect import Dialect, Question
from classifier.simulator.faults import (
    ERRORS,
    HEADER,
    Fault,
    FaultBook,
    broken_answer,
    error_answer,
)
from classifier.simulator.models import Model, Models
from classifier.simulator.prompt_cache import Hit, PromptCache
from classifier.simulator.refusals import Refused
from classifier.simulator.stats import Stats

INVALID_KEY = "invalid"
_encode = msgspec.json.Encoder().encode


class Calls:
    """Answers calls to one endpoint. Promise: does not wait; the answer says how long to."""

    def __init__(
        self, dialect: Dialect, models: Models, faults: FaultBook, cache: PromptCache, stats: Stats
    ) -> None:
        self._dialect = dialect
        self._models = models
        self._faults = faults
        self._cache = cache
        self._stats = stats

    def answer(self, request: Request, number: int) -> Answer:
        """Raises Refused for a request that a real server would refuse too."""
        authorise(request)
        question = self._dialect.read(_body(request))
        model = self._models.find(question.model, self._dialect.endpoint)
        rule = self._faults.choose(question.model, request.header(HEADER))
        if rule is None:
            return self._worked_out(question, model, number, None)
        self._stats.faulted(rule.fault)
        if rule.fault in ERRORS:
            return error_answer(rule)
        return broken_answer(self._worked_out(question, model, number, rule.fault), rule)

    def _worked_out(
        self, question: Question, model: Model, number: int, fault: Fault | None
    ) -> Answer:
        now_s = monotonic()
        hit = self._hit(question, model, now_s)
        opinions = model.opinions(question)
        draft = question.answer(number, opinions, hit, fault)
        self._stats.served(question.model, self._dialect.endpoint, draft.usage)
        fresh_tokens = draft.usage.input_tokens - hit.read
        works_s = model.latency.draw_s(fresh_tokens, draft.usage.output_tokens, now_s)
        took_s = model.capacity.took_s(works_s, now_s)
        return Answer(200, _encode(draft.body), took_s=took_s)

    def _hit(self, question: Question, model: Model, now_s: float) -> Hit:
        key = (question.model, question.cache_key, hash(question.prefix))
        hit = self._cache.look(key, question.prefix_tokens, now_s)
        return hit if model.config.cache_writes else structs.replace(hit, written=0)


def authorise(request: Request) -> None:
    """Any key but `invalid` will do. Raises Refused with 401."""
    scheme, _, key = request.header("authorization").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused(401, "You didn't provide an API key. (simulated)")
    if key.strip() == INVALID_KEY:
        raise Refused(401, "Incorrect API key provided. (simulated)", code="invalid_api_key")


def _body(request: Request) -> bytes:
    if request.body is None:
        raise Refused(413, "The request is too large. (simulated)")
    return request.body
