"""One path: backend kind + endpoint + prompt + model + price, ready to be asked."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from msgspec import Struct

from classifier.config.schema import PathConfig
from classifier.errors import AttemptFailed
from classifier.guards.guard import Guard
from classifier.money import to_nanodollars
from classifier.ports import Codec, Endpoint, Purse
from classifier.pricing import PriceTable, Rate
from classifier.prompts import Prompt
from classifier.records import (
    NO_COST,
    UNKNOWN_COST,
    Attempt,
    Cost,
    Reason,
    Reply,
    ReplyOutcome,
    Usage,
)
from classifier.taxonomy import LabelReader

_LONG_OUTPUT = 256  # tokens, where a path sets no limit: labels are shorter, reasoning is not
_LABEL = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)  # from the first letter to the last
_BYTES_PER_TOKEN = 4  # of English; others take fewer


class Reading(Struct, frozen=True):
    """A reply after the label check."""

    outcome: ReplyOutcome
    label: str | None
    confidence: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """Asks one model for one label and books what it cost.

    `guard` is told about every call; whether one may be made is asked before. `static_tokens`: the
    prompt without the ticket, where known. `rate`: None for an unknown price.
    """

    name: str
    config: PathConfig
    codec: Codec
    endpoint: Endpoint
    prompt: Prompt
    prices: PriceTable
    reader: LabelReader
    static_tokens: int | None
    guard: Guard
    now: Callable[[], float] = perf_counter
    purse: Purse | None = None

    @property
    def price_name(self) -> str:
        return self.config.price or self.config.model

    @property
    def rate(self) -> Rate | None:
        return self.prices.rate(self.price_name)

    async def ask(self, ticket_text: str, timeout_s: float, reason: Reason) -> Attempt:
        """One attempt, never an exception: what went wrong is its outcome.

        It is paid from the purse, whatever its reason and however it ends.
        """
        entered = self.guard.enter()  # before anything is awaited: nobody else is let in meanwhile
        asked = self.now()
        try:
            attempt = await self._paid(ticket_text, timeout_s, reason)
        except BaseException:  # cancelled, or a bug: either says nothing about the path
            self.guard.abandon(entered)
            raise
        if attempt.outcome == "budget":
            self.guard.abandon(entered)
        else:
            waited_s = self.now() - asked - attempt.duration_s  # for the purse
            self.guard.leave(entered, attempt, timeout_s - waited_s)
        return attempt

    async def _paid(self, ticket_text: str, timeout_s: float, reason: Reason) -> Attempt:
        body = self.codec.encode(ticket_text)
        if self.purse is None:
            return await self._post(body, timeout_s, reason)
        asked = self.now()
        hold = await self.purse.reserve(self.name, self.costs_at_most(body))
        if hold is None:
            return Attempt(self.name, reason, "budget", 0.0, cost=NO_COST)
        cost = UNKNOWN_COST
        left_s = timeout_s - (self.now() - asked)
        try:
            if left_s > 0:
                attempt = await self._post(body, left_s, reason)
            else:  # waiting for the purse took it all
                attempt = Attempt(self.name, reason, "timeout", 0.0, cost=NO_COST)
            cost = attempt.cost
        except asyncio.CancelledError:
            cost = self.cancelled(ticket_text, 0.0).cost  # as it is booked when a hedge loses
            raise
        finally:
            hold.settle(cost)
        return attempt

    def costs_at_most(self, body: bytes) -> int | None:
        """Nano-dollars that a call cannot well exceed; None without a price.

        No tokeniser makes more tokens than there are bytes, and the body's own frame outweighs what
        servers add to it. Nothing is taken to be cached.
        """
        options = self.config.options
        rate = self.prices.rate(self.price_name, options.service_tier) or self.rate
        if rate is None:
            return None
        output = 0 if self.config.kind == "decisions" else options.max_output_tokens or _LONG_OUTPUT
        dearest = max(rate.input, rate.cache_write or 0)
        return to_nanodollars(len(body) * dearest + output * rate.output)

    def cancelled(self, ticket_text: str, duration_s: float) -> Attempt:
        """What is booked for a call that was hung up on.

        Nobody says what it used, and vendors differ on charging for it: taken as a whole call,
        rather too dear than for nothing.
        """
        usage = self._estimated(ticket_text)
        cost = self.prices.cost(usage, self.price_name, self.config.options.service_tier)
        if cost.nanodollars is not None:
            cost = Cost(cost.nanodollars, "estimated")
        return Attempt(
            path=self.name,
            reason="hedge",
            outcome="cancelled",
            duration_s=duration_s,
            usage=usage,
            cost=cost,
            simulated=self.guard.simulated,
        )

    def _estimated(self, ticket_text: str) -> Usage:
        """Four bytes a token, for what is not known to the token; all the output that it may give."""
        ticket = ticket_text[: self.config.max_ticket_chars].encode("utf-8", "replace")
        static = self.static_tokens
        if static is None:
            static = len(self.codec.encode("")) // _BYTES_PER_TOKEN
        output = 0 if self.config.kind == "decisions" else self.config.options.max_output_tokens
        return Usage(static + len(ticket) // _BYTES_PER_TOKEN + 1, output)

    async def _post(self, body: bytes, timeout_s: float, reason: Reason) -> Attempt:
        self.guard.earn(reason)
        started = self.now()
        try:
            raw = await self.endpoint.post(self.codec.route, body, timeout_s)
            duration_s = self.now() - started
            reply = self.codec.decode(raw)
        except AttemptFailed as failure:
            return self._failed(failure, self.now() - started, reason)
        return self._answered(reply, duration_s, reason)

    async def reachable(self) -> bool:
        return await self.endpoint.warm()

    def _answered(self, reply: Reply, duration_s: float, reason: Reason) -> Attempt:
        reading = self.read(reply)
        return Attempt(
            path=self.name,
            reason=reason,
            outcome=reading.outcome,
            duration_s=duration_s,
            label=reading.label,
            confidence=reading.confidence,
            usage=reply.usage,
            cost=self.prices.cost(reply.usage, self.price_name, reply.service_tier),
            server_time_s=reply.server_time_s,
            simulated=reply.simulated,
        )

    def _failed(self, failure: AttemptFailed, duration_s: float, reason: Reason) -> Attempt:
        return Attempt(
            path=self.name,
            reason=reason,
            outcome=failure.kind,
            duration_s=duration_s,
            cost=UNKNOWN_COST if failure.may_be_charged else NO_COST,
            simulated=failure.simulated or self.guard.simulated,  # silence has no header
            retry_after_s=failure.retry_after_s,
        )

    def read(self, reply: Reply) -> Reading:
        """The label check: whatever the model said, what leaves here is in the taxonomy or nothing."""
        if reply.refused:
            return Reading("refusal", None, None)
        label = self.reader.read(reply.text)
        if label is None or (reply.cut and self.reader.may_go_on(label)):
            return Reading("not_a_label", None, None)
        outcome: ReplyOutcome = "abstained" if label == self.reader.abstain else "labelled"
        return Reading(outcome, label, self._confidence(reply))

    def _confidence(self, reply: Reply) -> float | None:
        if reply.probabilities is not None:
            return _clamped(reply.probabilities.get(reply.text or ""))
        if reply.token_logprobs is None or reply.text is None:
            return None
        return label_probability(reply.text, self.reader.core(reply.text), reply.token_logprobs)


def label_probability(
    text: str, label_text: str, token_logprobs: tuple[tuple[str, float], ...]
) -> float | None:
    """Probability of the label's own tokens: exp of the sum of their log probabilities.

    Quotes, punctuation, JSON and spaces around the label do not count, nor do tokens before and
    after the text (reasoning, end marks). None when tokens and text disagree.
    """
    label = _LABEL.search(label_text)
    text_start = "".join(token for token, _ in token_logprobs).rfind(text)
    if label is None or text_start < 0 or label.group() not in text:
        return None
    start = text_start + text.rfind(label.group())
    end = start + len(label.group())
    position = 0
    total = 0.0
    for token, logprob in token_logprobs:
        if position < end and position + len(token) > start:
            total += logprob
        position += len(token)
    return _clamped(math.exp(min(0.0, total)))


def _clamped(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else min(1.0, max(0.0, value))
